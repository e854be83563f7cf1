"""What all tests share: reproducible property tests."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported; see flows.services

from hypothesis import settings

settings.register_profile("acme", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("acme")
