"""Fig. 7a and 13a: ACME against lightweight models."""
