"""Base of every stage's configuration: strict pydantic models, YAML in, commented YAML out.

Each stage has one model. Its fields are the command-line flags, the keys of the YAML file and the rows of the
documentation table, so the three cannot drift apart.
"""

from __future__ import annotations

import difflib
import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from fringewatch.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Config", "Place", "explain_validation_error"]

Place = Annotated[str, BeforeValidator(lambda given: os.fspath(given) if isinstance(given, os.PathLike) else given)]
"""Text that may be a path, an address or a name; from Python a ``Path`` will do."""

_LONGEST_SHOWN = 100


class Config(BaseModel):
    """A frozen settings model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @classmethod
    def build(cls, values: dict[str, Any], *, where: str = "settings") -> Self:
        """Validate a mapping; a mistake becomes a :class:`~fringewatch.errors.ConfigError` that names the key."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(explain_validation_error(error, cls, where)) from error

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a YAML file written by hand or by :meth:`to_yaml`."""
        path = Path(path)
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            message = f"{path}: cannot be read ({error.strerror}); expected a YAML file of {cls.__name__} settings"
            raise ConfigError(message) from error
        except (yaml.YAMLError, ValueError) as error:
            # A date that does not exist is a plain ValueError.
            mark = getattr(error, "problem_mark", None)
            place = f", line {mark.line + 1}" if mark is not None else ""
            reason = getattr(error, "problem", None) or str(error).splitlines()[0]
            message = f"{path}{place}: is not valid YAML ({reason}); mend it or write a fresh file"
            raise ConfigError(message) from error
        if loaded is None:
            loaded = {}
        if not isinstance(loaded, dict):
            message = f"{path}: holds a {type(loaded).__name__}, expected a mapping of {cls.__name__} settings"
            raise ConfigError(message)
        for flag, name in cls.flags().items():
            if flag in loaded:
                loaded[name] = loaded.pop(flag)
        return cls.build(loaded, where=str(path))

    @classmethod
    def flags(cls) -> dict[str, str]:
        """Return the fields whose flag is not their name, by the word of the flag: a word of Python, or of pydantic."""
        found = {}
        for name, field in cls.model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and "flag" in extra:
                found[str(extra["flag"]).removeprefix("--").replace("-", "_")] = name
        return found

    def to_yaml(self) -> str:
        """Return the settings as YAML, each key under a comment with its description."""
        lines: list[str] = []
        values = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            if field.description:
                lines += [f"# {line}" for line in textwrap.wrap(field.description, 110)]
            lines.append(yaml.safe_dump({name: values[name]}, sort_keys=False, default_flow_style=False).rstrip())
        return "\n".join(lines) + "\n"


def explain_validation_error(error: ValidationError, model: type[BaseModel], where: str) -> str:
    """Return one line that names each wrong key, what it held, what is allowed and the nearest right key."""
    parts = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"]) or model.__name__
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, list(model.model_fields), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(model.model_fields)}"
            parts.append(f"unknown key {key!r}{hint}")
        elif item["type"] == "missing":
            parts.append(f"{key}: is missing; give it a value")
        elif not item["loc"]:
            # A check of several settings, whose message names them; its input is all of them.
            parts.append(_plain(item["msg"]))
        else:
            parts.append(f"{key}{_shown(item['input'])}: {_expectation(item, model)}")
    return f"{where}: " + " | ".join(parts)


def _shown(given: object) -> str:
    """Return what a key held, if that is short enough to help."""
    text = f" = {given!r}"
    simple = isinstance(given, str | int | float | list | tuple | None)
    return text if simple and len(text) <= _LONGEST_SHOWN else ""


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _expectation(item: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong with a value; of one that breaks a pattern what its description says."""
    field = model.model_fields.get(str(item["loc"][0]))
    if item["type"] == "string_pattern_mismatch" and field is not None and field.description:
        return f"does not fit; expected: {field.description}"
    return "expected a list" if item["type"] == "tuple_type" else _plain(item["msg"])
