"""How long something took when it was computed, asked when it is found in the cache. (Apart: a
cached task's key has the code of all that its module imports.)"""

from __future__ import annotations

from tasks.run.cached import KEY, cached
from tasks.run.store import Ref


@cached("the seconds that it took", cache_policy=KEY - "seconds")
def remembered(made: Ref, seconds: float) -> float:
    """The ``seconds`` that this was first called with for what was ``made``."""
    return seconds
