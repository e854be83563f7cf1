"""Settings that name something which a registry holds.

Apart from the settings themselves: whoever reads those needs no algorithm, and is not stale where
one changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from models.choices import chosen
from tasks.run.errors import SettingsError
from tasks.settings.params import Settings
from tasks.settings.sources import SOURCES


def registries() -> dict[str, Mapping[str, Any]]:
    """What each such setting (one name, or several) chooses from."""
    from models.backbone.families.vit import INITIALISATIONS
    from models.header.kinds import FIXED
    from models.header.operations import OPERATIONS
    from models.matching.rules import RULES
    from models.refinement.exchanges import EXCHANGES
    from models.refinement.mixers import MIXERS
    from models.refinement.rankings import RANKINGS
    from models.refinement.sketches import SKETCHES
    from models.sensors import SENSORS

    return {
        "data.source": SOURCES,
        "data.sensors": SENSORS,
        "backbone.reference.initialisation": INITIALISATIONS,
        "matching.method": RULES,
        "edge.fixed": FIXED,
        "edge.operations": OPERATIONS,
        "refinement.method": MIXERS,
        "refinement.exchange": EXCHANGES,
        "refinement.prune_by": RANKINGS,
        "refinement.sketch": SKETCHES,
    }


def require_known(settings: Settings, params: Path) -> None:
    """Raises SettingsError if a registry does not hold what a setting of the file names."""
    for setting, registry in registries().items():
        for name in _names(settings, setting):
            try:
                chosen(setting, name, registry)
            except ValueError as error:
                raise SettingsError(f"{params}: {error}") from None


def _names(settings: Settings, setting: str) -> Collection[str]:
    value: Any = settings
    for part in setting.split("."):
        value = getattr(value, part)
    return [value] if isinstance(value, str) else value
