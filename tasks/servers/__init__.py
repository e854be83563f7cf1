"""The servers of a run and of the shared stack."""
