"""Fig. 1 and Fig. 9: the grid of variants."""
