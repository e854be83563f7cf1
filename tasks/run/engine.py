"""Where steps run, as the environment says. (Without Prefect, which reads its environment when it
is imported.)"""

from __future__ import annotations

import os

from tasks.run.errors import SettingsError

ENGINE = "ACME_ENGINE"
"""``here`` (usual: one machine gains nothing by more) or ``submitted``, to the task runner that the
flow has: threads of this process unless the flow was given another. A task that is called directly
stays here whatever runner there is. Time-outs of tasks need ``here``."""


def submitted() -> bool:
    """Whether steps are submitted.

    Raises:
        SettingsError: :data:`ENGINE` is none that there is.
    """
    name = os.environ.get(ENGINE, "here")
    if name not in ("here", "submitted"):
        raise SettingsError(f"{ENGINE}={name}: choose here or submitted")
    return name == "submitted"
