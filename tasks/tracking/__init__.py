"""Candidates and models in MLflow: the one room that imports it."""
