"""Raw data, its pin, who owns which sample, and the checks before anything trains."""
