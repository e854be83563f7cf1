"""Fig. 10 and Fig. 11: who is alike, and what mixing is worth."""
