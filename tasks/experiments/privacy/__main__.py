"""docs/privacy.md: ``python -m tasks.experiments.privacy`` makes its tables anew."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

from tasks.experiments.privacy.finished import Finished
from tasks.experiments.privacy.page import PAGE, page
from tasks.experiments.privacy.table import Tables
from tasks.run.errors import AcmeError
from tasks.run.files import atomic_write
from tasks.settings.case import Case

SEEDS = 3


def main(folders: list[str]) -> None:
    """All attacks, then the page; ``folders`` are of cases with a finished run, whose devices'
    messages are attacked too."""
    start = time.perf_counter()
    torch.set_num_threads(1)
    tables = Tables.of(range(SEEDS))
    runs = {folder: Finished.of(Case.of(Path(folder)), SEEDS) for folder in folders}
    made = page(PAGE.read_text(), tables, runs, time.perf_counter() - start)
    print(made)
    atomic_write(PAGE, made.encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AcmeError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
