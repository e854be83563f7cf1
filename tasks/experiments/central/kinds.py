"""What the centralised comparison sends, which no tier of ours may: all raw data, to the cloud."""

from __future__ import annotations

from tasks.links.kinds import RAW, TRAIN_COUNT, Kind, samples_agree

UPLOAD = "central_upload"
KINDS = {UPLOAD: Kind("device", "cloud", RAW, TRAIN_COUNT, samples_agree, raw=True)}
