"""What all tests share: reproducible property tests."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported anywhere

from hypothesis import settings

settings.register_profile("acme", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("acme")
