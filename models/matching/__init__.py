"""Sec. II-B and III-B2: what a variant costs, and which one a cluster gets."""
