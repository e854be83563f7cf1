"""Sec. III-C: everything after the backbone's tokens, searched or fixed."""
