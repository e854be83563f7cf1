"""The default run over several seeds: what its devices get, and what they send."""
