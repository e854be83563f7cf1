"""Goals beside what is reached, on letters and digits in the fonts of Debian's packages.

make case-glyphs
FONTS=my/fonts make case-glyphs    # other fonts, a folder a family
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from examples.glyphs.fonts import fetch
from flows.command.answer import answer
from tasks.settings.case import SETTINGS, Case

WORK = "glyphs"  # of artifacts/work, which is safe to delete


@click.command()
@click.option("--fonts", type=Path, help="A folder of fonts, a folder a family.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--page", type=Path, help="Write the table between the marks of this page, too.")
def main(fonts: Path | None, seeds: int, page: Path | None) -> None:
    """Draw the pictures, train, and print goals beside what is reached."""
    case = Case.here()
    work = case.work / WORK
    pictures = drawn(fonts or fetch(work / "fonts"), work / "pictures")
    rows = measure(case, pictures, range(seeds))
    from examples.glyphs.table import publish, table

    print(table(rows))
    if page is not None:
        publish(page, table(rows))


def drawn(fonts: Path, out: Path) -> Path:
    """The pictures in these fonts, drawn anew, and told.

    Raises:
        DataError: there are none.
    """
    from examples.glyphs.draw import CLASSES, draw_all
    from tasks.run.errors import DataError
    from tasks.run.words import counted

    shutil.rmtree(out, ignore_errors=True)
    found = draw_all(fonts, out)
    if not found.pictures:
        raise DataError(f"{fonts}: no font with Latin letters (.ttf, .otf) in a folder a family")
    print(
        f"{counted(found.pictures, 'picture')} of {len(CLASSES)} classes in "
        f"{counted(sum(found.fonts.values()), 'font')} of {len(found.fonts)} families. Left out: "
        f"{counted(found.unable, 'font')} that cannot draw each class so that it is like no other, "
        f"{counted(found.again, 'picture')} that were there already",
        file=sys.stderr,
        flush=True,
    )
    return out


def measure(case: Case, pictures: Path, seeds: range) -> list[dict[str, float]]:
    """What each seed reaches, with a Prefect server to run on."""
    from tasks.servers.shared import prefect_server, watched

    with prefect_server(case) as env, watched(env):
        os.environ.update(env)  # before anything imports Prefect, which reads it once
        from examples.glyphs.measure import measured, settings_of
        from flows.logs import prefect_on_its_page

        rows = []
        with prefect_on_its_page():
            for seed in seeds:
                print(f"seed {seed} ({seed + 1} of {len(seeds)})", file=sys.stderr, flush=True)
                rows.append(measured(settings_of(Path(SETTINGS), pictures, seed)))
    return rows


if __name__ == "__main__":
    answer(main)
