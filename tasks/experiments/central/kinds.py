"""What the centralised comparison sends, which no tier of ours may: all raw data, to the cloud."""

from __future__ import annotations

from tasks.links.kinds import RAW, Kind

UPLOAD = "central_upload"
KINDS = {UPLOAD: Kind("device", "cloud", RAW, values=frozenset({"train_count"}), raw=True)}
