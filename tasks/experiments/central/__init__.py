"""Table I: ACME against a centralised system."""
