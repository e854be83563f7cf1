"""Fig. 7b, 8, 12 and 13b: searched and fixed headers."""
