"""Named checks of physical arguments: what was wrong, what is allowed, how to mend it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import PhysicsError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["require_at_least", "require_between", "require_choice", "require_finite", "require_positive"]


def require_finite(name: str, value: ArrayLike | float) -> None:
    """Refuse NaN and infinity."""
    if isinstance(value, float) and math.isfinite(value):
        return
    values = np.asarray(value, dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        message = f"{name}={float(values[~finite].flat[0])} is not finite; give a finite number"
        raise PhysicsError(message)


def require_positive(name: str, value: ArrayLike | float, why: str = "") -> None:
    """Refuse zero, negative and non-finite values; an array is judged by its smallest element."""
    require_finite(name, value)
    smallest = value if isinstance(value, float) else float(np.min(value))
    if smallest <= 0:
        message = f"{name}={smallest:g} is not positive; allowed: {name} > 0{why and ' ' + why}"
        raise PhysicsError(message)


def require_at_least(name: str, value: float, low: float) -> None:
    """Refuse values below ``low``."""
    require_finite(name, value)
    if value < low:
        message = f"{name}={value:g} is too small; allowed: {name} >= {low:g}"
        raise PhysicsError(message)


def require_between(name: str, value: float, low: float, high: float, why: str = "") -> None:
    """Refuse values outside the closed interval ``[low, high]``."""
    if not (math.isfinite(value) and low <= value <= high):
        message = f"{name}={value:g} is out of range; allowed: {low:g} <= {name} <= {high:g}{why and ' ' + why}"
        raise PhysicsError(message)


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse names that are not in the list."""
    if value not in choices:
        message = f"{name}={value!r} is not known; choose one of {', '.join(map(repr, choices))}"
        raise PhysicsError(message)
