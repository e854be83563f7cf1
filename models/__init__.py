"""Meaning: the equations, on plain tensors, arrays and numbers."""
