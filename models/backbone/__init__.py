"""Sec. III-B1: one Vision Transformer made elastic in width and depth."""
