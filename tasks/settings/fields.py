"""What settings are made of: frozen records, ranges of numbers, and errors in words."""

from __future__ import annotations

import io
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.run.errors import SettingsError

F = TypeVar("F")

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


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


def read_yaml(path: Path) -> Any:
    """The content of a YAML 1.2 file: ``1e-3`` is a number, ``yes`` a text.

    Raises:
        SettingsError: it cannot be read, is not YAML, or has a name twice.
    """
    from ruamel.yaml import YAML, YAMLError  # not above: devices read no files of settings

    try:
        return YAML(typ="safe").load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Check the path") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise not_yaml(path, error) from None


def not_yaml(path: Path, error: Exception) -> SettingsError:
    """What a parser says of a file, on one line and without its advice to its programmer."""
    words = str(error).partition("To suppress this check")[0]
    return SettingsError(f"{path}: not YAML: {' '.join(words.split())}")


def yaml_text(content: Any) -> str:
    """Plain values as YAML, one a line, in their order."""
    from ruamel.yaml import YAML

    written = io.StringIO()
    YAML().dump(content, written)
    return written.getvalue()


def in_words(error: ValidationError) -> str:
    """Every complaint on one line: where it is, what is wrong."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
        for item in error.errors()
    )
