"""What all tests share: reproducible property tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("acme", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("acme")
