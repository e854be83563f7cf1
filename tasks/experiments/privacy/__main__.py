"""docs/privacy.md: ``python -m tasks.experiments.privacy`` makes its tables anew."""

from __future__ import annotations

import sys
from pathlib import Path

from tasks.experiments.privacy.finished import recovered_in
from tasks.experiments.privacy.page import PAGE, page
from tasks.experiments.privacy.table import Tables
from tasks.run.errors import AcmeError
from tasks.run.files import atomic_write
from tasks.settings.case import Case

SEEDS = 3


def main(folders: list[str]) -> None:
    """All attacks, then the page; ``folders`` are of cases with a finished run, whose devices'
    sketches are compared too."""
    tables = Tables.of(range(SEEDS))
    runs = {folder: recovered_in(Case.of(Path(folder)), SEEDS) for folder in folders}
    made = page(PAGE.read_text(), tables, runs)
    print(made)
    atomic_write(PAGE, made.encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AcmeError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
