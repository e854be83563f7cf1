"""The log of a run: Prefect's page shows it (``PREFECT_LOGGING_EXTRA_LOGGERS``), no terminal does.

What a person at a terminal should read is printed; what somebody asks later is said here.
"""

from __future__ import annotations

import logging

LOG = logging.getLogger("acme")
LOG.setLevel(logging.INFO)
LOG.propagate = False
LOG.addHandler(logging.NullHandler())  # without one, Python prints warnings itself
