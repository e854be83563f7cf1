"""What settings are made of: frozen records, ranges of numbers, and errors in words."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.run.errors import SettingsError

F = TypeVar("F")

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Width = Annotated[float, Field(gt=0, le=1)]


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
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}. Check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def in_words(error: ValidationError) -> str:
    """Every complaint on one line: where it is, what is wrong."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'settings'}: {item['msg']}"
        for item in error.errors()
    )
