"""What settings are made of: frozen records, ranges of numbers, and errors in words."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tasks.run.errors import SettingsError

F = TypeVar("F")


def nameable(path: Path) -> Path:
    """Raises ValueError if no file can be called so."""
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: no file can be called so")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError(f"{str(path)!r}: no file can be called so") from None
    return path


Place = Annotated[Path, AfterValidator(nameable)]


class Parts:
    """Settings of which a task takes no more than it reads."""

    def part(self, kind: type[F]) -> F:
        """Those of these settings that the recipe ``kind`` (a frozen dataclass, or one of the
        bases) names: a task is not run again for what it does not read."""
        model: Any = kind
        names = (
            model.model_fields
            if issubclass(kind, BaseModel)
            else [field.name for field in fields(model)]
        )
        return model(**{name: getattr(self, name) for name in names})


class Frozen(BaseModel, Parts):
    """Unknown names are refused: a typing error must not pass as a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Section(Parts):
    """Base of a section that is a frozen dataclass made of the recipes of ``models/``."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")


NOT_YAML = (ValueError, RecursionError)
"""What the parser raises beside its own: of other bytes than UTF-8, of a 13th month, of brackets by
the thousand."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file: ``1e-3`` is a number, ``yes`` a text.

    Raises:
        SettingsError: it cannot be read, is not YAML, or has a name twice.
    """
    from ruamel.yaml import YAML, YAMLError  # not above: devices read no files of settings

    try:
        return YAML(typ="safe").load(path.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Check the path") from None
    except (YAMLError, *NOT_YAML) as error:
        raise not_yaml(path, error) from None


def not_yaml(path: Path, error: Exception) -> SettingsError:
    """What a parser says of a file, on one line and without its advice to its programmer."""
    words = str(error).partition("To suppress this check")[0]
    return SettingsError(f"{path}: not YAML: {' '.join(words.split())}")


def taken_for_numbers(values: Any, read: Any, at: str = "") -> Iterator[str]:
    """Where a file says true or false and a number was read."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from taken_for_numbers(value, getattr(read, name), f"{at}.{name}".lstrip("."))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from taken_for_numbers(value, read[index], f"{at}.{index}")
    elif isinstance(values, bool) and not isinstance(read, bool):
        yield f"{at}: a number is needed, not {str(values).lower()}"


def yaml_text(content: Any) -> str:
    """Plain values as YAML, one a line, in their order."""
    from ruamel.yaml import YAML

    written = io.StringIO()
    YAML().dump(content, written)
    return written.getvalue()


MOST_NAMED = 5  # complaints of one file; the rest is counted


def in_words(error: ValidationError) -> str:
    """What is complained of, on one line: where it is, what is wrong."""
    found = [
        f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    ]
    rest = [f"and {len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return "; ".join(found[:MOST_NAMED] + rest)
