"""What a centralised system's devices send: all their raw data. No tier of ACME may."""

from __future__ import annotations

from tasks.links.kinds import RAW, Kind

KINDS = {
    "central_upload": Kind("device", "cloud", RAW, values=frozenset({"train_count"}), raw=True),
}
