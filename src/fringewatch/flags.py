"""Flags of the command line, made of the fields of a settings model."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import functools
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

if TYPE_CHECKING:
    from fringewatch.config import Config

__all__ = ["flags_of"]

_NOTHING = "None"
"""What a flag takes for no value, where a settings file gives one."""
_EXPECTED = {int: "a whole number", float: "a number", dt.date: "a day as YYYY-MM-DD"}


def flags_of(model: type[Config], defaults: dict[str, Any]) -> Any:
    """Return a class of a model's fields that tyro makes flags of; checks are left to the model itself.

    Parameters
    ----------
    model
        Settings. A field's ``json_schema_extra`` may say that it is ``positional``, or name its ``flag`` where that
        cannot be the field's name: a word of Python or of pydantic.
    defaults
        Of fields that a file sets.
    """
    fields: list[tuple[str, Any, Any]] = []
    for key, info in model.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        positional, flag = bool(extra.get("positional")), extra.get("flag")
        known = key in defaults or not info.is_required()
        value = defaults.get(key, info.get_default(call_default_factory=True)) if known else None
        kind = _readable(info.annotation)
        settings: dict[str, Any] = {"help": info.description}
        if known and (value is None or value in ("", [], ())):
            # What holds without the flag is in its description.
            settings["help_behavior_hint"] = ""
        if positional:
            kind = Annotated[kind, tyro.conf.Positional, tyro.conf.arg(metavar=key.upper(), **settings)]
        else:
            kind = Annotated[kind, tyro.conf.arg(name=str(flag).removeprefix("--") if flag else None, **settings)]
        factory = dataclasses.field(default_factory=functools.partial(copy.copy, value))
        fields.append((key, kind, factory if known else dataclasses.field()))
    return dataclasses.make_dataclass(model.__name__, fields, kw_only=True)


def _readable(kind: Any) -> Any:
    """Return a type whose help and errors speak of values that users give, and of None only where it is given.

    Left to itself the parser calls such a flag ``{None}|FLOAT``, and tells of a wrong value once per type.
    """
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    nothing = type(None) in options
    # Two or more that are left are a union again.
    inner: Any = Union[tuple(option for option in options if option is not type(None))]  # noqa: UP007
    if not nothing and inner not in _EXPECTED:
        return kind
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(inner, set()))
    return (
        Annotated[kind, _reader(spec, inner, nothing=nothing)] if isinstance(spec, PrimitiveConstructorSpec) else kind
    )


def _reader(spec: PrimitiveConstructorSpec[Any], kind: Any, *, nothing: bool) -> PrimitiveConstructorSpec[Any]:
    def read(given: list[str]) -> Any:
        if nothing and given == [_NOTHING]:
            return None
        try:
            return spec.instance_from_str(given)
        except ValueError as error:
            # A date says what is wrong with it; of numbers Python tells the base.
            why = f" ({error})" if kind is dt.date else ""
            message = f"got {' '.join(given)!r}, expected {_EXPECTED.get(kind, spec.metavar)}{why}"
            raise ValueError(message) from error

    return PrimitiveConstructorSpec(
        nargs=(1, spec.nargs) if nothing and isinstance(spec.nargs, int) and spec.nargs > 1 else spec.nargs,
        metavar=spec.metavar,
        instance_from_str=read,
        is_instance=lambda value: (nothing and value is None) or spec.is_instance(value),
        str_from_instance=lambda value: [_NOTHING] if value is None else spec.str_from_instance(value),
        choices=None if spec.choices is None else (*spec.choices, *([_NOTHING] if nothing else [])),
    )
