"""Sec. III-D: each device's header, refined on private data with the help of alike devices."""
