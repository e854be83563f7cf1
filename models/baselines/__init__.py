"""Lightweight models that the evaluation compares with, scaled to a number of parameters."""
