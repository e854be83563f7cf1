"""Small grey pictures of letters and digits, in all fonts of a folder: ``context/class/file`` as
``data.context_folders`` has them read, where a context is a family of fonts."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = 32  # pixels a side
INSIDE = 28  # of them, what the largest of a font's letters takes
MOST = 8  # fonts of a family: some come in forty weights
UPPER, LOWER = string.ascii_uppercase.replace("O", ""), string.ascii_lowercase.replace("l", "")
"""Without O and l, which nothing but their neighbours tells from 0 and I."""
CLASSES = {
    f"{kind}-{letter.lower()}": letter
    for kind, letters in (("digit", string.digits), ("upper", UPPER), ("lower", LOWER))
    for letter in letters
}
"""60 letters and digits by the name of their class, which no file system takes for another."""
NO_LETTER = "\U0010ffff"
SUFFIXES = {".ttf", ".otf"}

Font = ImageFont.FreeTypeFont
Letters = dict[str, Image.Image]


@dataclass(frozen=True)
class Drawn:
    """How many pictures there are, and of how many fonts of each family; how many fonts were left
    out since they cannot draw each class so that it is like no other, and how many pictures since
    there is the same already, or no second one of their family's class."""

    pictures: int
    fonts: dict[str, int]
    unable: int
    again: int


def draw_all(fonts: Path, out: Path) -> Drawn:
    """Draw every class in the fonts below each folder of ``fonts``, which is a family's, into
    ``out``. The same fonts give the same pictures, whatever the order of the files."""
    seen: set[bytes] = set()
    used: dict[str, int] = {}
    pictures = unable = again = 0
    for family in sorted(path for path in fonts.glob("*") if path.is_dir()):
        files = font_files(family)
        able = {path.stem: found for path in files if (found := letters_of(path))}
        unable += len(files) - len(able)
        some = dict([*able.items()][:: -(-len(able) // MOST) or 1])
        written = sum(write(of, out / family.name / name) for name, of in new(some, seen).items())
        pictures += written
        again += len(some) * len(CLASSES) - written
        used |= {family.name: len(some)} if written else {}
    return Drawn(pictures, used, unable, again)


def new(fonts: Mapping[str, Letters], seen: set[bytes]) -> dict[str, Letters]:
    """By class, the pictures by font that are not among those ``seen``, which they join. Of a class
    there are two at least: one to learn from and one to test by."""
    by_class: dict[str, Letters] = {name: {} for name in CLASSES}
    for font, letters in fonts.items():
        for name, picture in letters.items():
            if picture.tobytes() not in seen:
                seen.add(picture.tobytes())
                by_class[name][font] = picture
    return {name: pictures for name, pictures in by_class.items() if len(pictures) > 1}


def write(pictures: Letters, folder: Path) -> int:
    """A file each; how many."""
    folder.mkdir(parents=True)
    for font, picture in pictures.items():
        picture.save(folder / f"{font}.png")
    return len(pictures)


def font_files(family: Path) -> list[Path]:
    """The fonts in a folder, however deep, one of those that are called alike."""
    files = (path for path in sorted(family.rglob("*")) if path.suffix.lower() in SUFFIXES)
    found = {path.stem: path for path in files}
    return [found[stem] for stem in sorted(found)]


def letters_of(path: Path) -> Letters | None:
    """A font's picture of each class; None if it is damaged, lacks a letter (what it draws for one
    that nobody has is no letter) or has only one for a small letter and its capital."""
    try:
        font = fitted(path)
        found = {name: picture(letter, *font) for name, letter in CLASSES.items()}
        missing = picture(NO_LETTER, *font).tobytes()
    except (OSError, ValueError):
        return None
    blank = bytes(SIZE * SIZE)
    different = {missing, blank, *(one.tobytes() for one in found.values())} - {missing, blank}
    return found if len(different) == len(CLASSES) else None


def fitted(path: Path) -> tuple[Font, float]:
    """The font at the size at which its letters on one line fill the picture, and the height of
    that line. Raises OSError if it is none."""
    font = ImageFont.truetype(path, 100, layout_engine=ImageFont.Layout.BASIC)
    boxes = [font.getbbox(letter, anchor="ms") for letter in CLASSES.values()]
    top, bottom = min(box[1] for box in boxes), max(box[3] for box in boxes)
    half = max(max(-box[0], box[2]) for box in boxes)
    scale = INSIDE / max(bottom - top, 2 * half)
    return font.font_variant(size=100 * scale), (SIZE - (top + bottom) * scale) / 2


def picture(letter: str, font: Font, line: float) -> Image.Image:
    """A letter, white on black."""
    image = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(image).text((SIZE / 2, line), letter, fill=255, font=font, anchor="ms")
    return image
