"""How tasks run: cached, where they compute, what they store, how they fail."""
