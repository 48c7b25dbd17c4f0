"""Errors that fringewatch raises on purpose.

Every one of them derives from :class:`FringewatchError`, so a batch can catch that and go on with the next file,
and each leaf also derives from the builtin that a caller would expect. Messages follow one pattern: the file or
argument, what was wrong, what was expected, how to mend it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "BundleError",
    "CatalogError",
    "ClusterError",
    "ConfigError",
    "DeliveryError",
    "FetchError",
    "FringewatchError",
    "MissingExtraError",
    "OutputError",
    "PhysicsError",
    "ProductError",
    "TrainingError",
    "require",
]


class FringewatchError(Exception):
    """Base of all errors raised on purpose by fringewatch."""


class ProductError(FringewatchError, ValueError):
    """An interferogram cannot be read, or its content is not what its format promises."""


class ConfigError(FringewatchError, ValueError):
    """A configuration value or command-line flag is not allowed."""


class PhysicsError(FringewatchError, ValueError):
    """A source, medium or geometry is physically impossible or outside the model's validity."""


class BundleError(FringewatchError, ValueError):
    """A model bundle is incomplete, damaged or does not fit this version."""


class FetchError(FringewatchError, OSError):
    """A server does not give what was asked of it."""


class OutputError(FringewatchError, OSError):
    """A result cannot be written."""


class DeliveryError(FringewatchError, OSError):
    """An alert has not been delivered."""


class CatalogError(FringewatchError, OSError):
    """A catalogue cannot be opened, read or written."""


class ClusterError(FringewatchError, ConnectionError):
    """A cluster cannot be reached or started, or is gone."""


class TrainingError(FringewatchError, RuntimeError):
    """Training cannot start or has to stop."""


class MissingExtraError(FringewatchError, ImportError):
    """An optional dependency is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency or say how to install it.

    Parameters
    ----------
    module
        Name of the module, for example ``"torch"``.
    extra
        The extra of fringewatch that brings it, for example ``"train"``.

    Returns
    -------
    types.ModuleType
        The imported module.

    Raises
    ------
    MissingExtraError
        If the module is not installed; the message carries the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        message = f"this needs the package {module!r}, which is not installed: pip install 'fringewatch[{extra}]'"
        raise MissingExtraError(message) from error
