"""Weight files of Keras: the legacy ``.h5`` layout (all ImageNet releases) and the ``.weights.h5`` of Keras 3.

Legacy: the attribute ``layer_names`` lists groups in the order of ``model.layers``, and each group's ``weight_names``
lists its data sets; ``model.save("x.h5")`` puts all that in a group ``model_weights``. Keras 3: a group
``layers/<class>_<k>/vars`` for the k-th layer of a class, with data sets ``0``, ``1``, ... This module knows groups and
arrays, not networks.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fringewatch.errors import BundleError, require
from fringewatch.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["KerasFile", "KerasLayout", "StoredLayer", "layout_of", "open_keras_file", "read_array", "write_keras_file"]

KerasLayout = Literal["legacy", "keras3"]


class StoredLayer(NamedTuple):
    """A layer with weights, as a file holds it or is to hold it."""

    name: str
    container: str
    """Class and number, such as ``conv2d_12``, by which Keras 3 files find a layer."""
    weights: dict[str, Any]
    """Arrays (h5py data sets when read) by name, in Keras' order; all in Keras' axes."""


class KerasFile(NamedTuple):
    """What an open file holds."""

    layout: KerasLayout
    layers: tuple[StoredLayer, ...]
    """In the order of ``model.layers`` (legacy), or sorted by class and number (Keras 3)."""


def layout_of(path: str | Path) -> KerasLayout:
    """Return the layout that a file of this name has by Keras' rule: ``.weights.h5`` or another ``.h5``.

    Raises
    ------
    BundleError
        If the name ends otherwise.
    """
    name = Path(path).name
    if name.endswith(".weights.h5"):
        return "keras3"
    if name.endswith((".h5", ".hdf5")):
        return "legacy"
    message = f"{path}: the name decides the layout; expected it to end in .weights.h5 (Keras 3) or .h5 (legacy Keras)"
    raise BundleError(message)


@contextlib.contextmanager
def open_keras_file(path: str | Path) -> Iterator[KerasFile]:
    """Open a weight file of either layout, whatever its name; the arrays can be read while the block runs.

    Raises
    ------
    BundleError
        If the file is missing, not HDF5, or of neither layout.
    """
    h5py = require("h5py", extra="train")
    path = Path(path)
    if not path.is_file():
        message = f"{path}: no such file; expected Keras weights (.h5 or .weights.h5)"
        raise BundleError(message)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        message = f"{path}: is not an HDF5 file or is cut short ({error}); fetch or export the weights again"
        raise BundleError(message) from error
    with file:
        group = file.get("model_weights", file)
        if names := _attribute(group, "layer_names"):
            yield KerasFile("legacy", _legacy_layers(path, group, names))
        elif (root := _keras3_root(file)) is not None:
            yield KerasFile("keras3", _keras3_layers(file[root] if root else file))
        else:
            message = (
                f"{path}: is HDF5 but holds no Keras weights (neither the attribute layer_names nor a group layers); "
                "save them with model.save_weights"
            )
            raise BundleError(message)


def write_keras_file(path: str | Path, layers: Sequence[StoredLayer]) -> None:
    """Write layers, given in the order of ``model.layers``, in the layout that the file's name asks for.

    Raises
    ------
    BundleError
        If the name asks for neither layout.
    OutputError
        If the file cannot be written.
    """
    h5py = require("h5py", extra="train")
    layout = layout_of(path)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        if layout == "keras3":
            for layer in layers:
                variables = file.create_group(f"layers/{layer.container}/vars")
                variables.attrs["name"] = layer.name
                for number, values in enumerate(layer.weights.values()):
                    variables[str(number)] = values
            return
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        # Keras 1 files and those of other backends have their kernels turned on reading: say that ours are plain.
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.15.0"
        for layer in layers:
            group = file.create_group(layer.name)
            names = {f"{layer.name}/{name}:0": values for name, values in layer.weights.items()}
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in names.items():
                group[name] = values


def read_array(path: Path, layer: str, name: str, stored: Any) -> NDArray[np.float32]:
    """Return one array of an open file.

    Raises
    ------
    BundleError
        If it does not hold finite real numbers, or cannot be read.
    """
    import numpy as np

    try:
        values = np.asarray(stored[()])
    except OSError as error:
        message = f"{path}: {name} of layer {layer!r} cannot be read ({error}); fetch or export the weights again"
        raise BundleError(message) from error
    if values.dtype.kind != "f":
        message = f"{path}: {name} of layer {layer!r} has type {values.dtype}; expected floating-point numbers"
        raise BundleError(message)
    if not np.isfinite(values).all():
        message = f"{path}: {name} of layer {layer!r} holds NaN or infinity; fetch or train the weights again"
        raise BundleError(message)
    return values.astype(np.float32, copy=False)


def _legacy_layers(path: Path, group: Any, names: Sequence[str]) -> tuple[StoredLayer, ...]:
    layers = []
    for name in names:
        stored = group.get(name)
        if stored is None:
            message = f"{path}: layer {name!r} is listed but missing; fetch or export the weights again"
            raise BundleError(message)
        # Keras' own order within a layer; older files call the same arrays W_1:0, param_0:0 and the like.
        weights = {weight: stored[weight] for weight in _attribute(stored, "weight_names")}
        if weights:
            layers.append(StoredLayer(name, "", weights))
    return tuple(layers)


def _keras3_root(file: Any) -> str | None:
    """Return the path of the group that holds ``layers``: the file, or a model nested in another."""
    found: list[str] = []

    def visit(name: str, _item: Any) -> None:
        if name.rpartition("/")[2] == "layers" and f"{name}/conv2d/vars/0" in file:
            found.append(name.removesuffix("layers").rstrip("/"))

    file.visititems(visit)
    return min(found, key=len, default=None)


def _keras3_layers(root: Any) -> tuple[StoredLayer, ...]:
    layers = []
    for container in sorted(root["layers"], key=_class_and_number):
        variables = root["layers"][container].get("vars", {})
        if len(variables):
            name = _text(variables.attrs.get("name", container))
            layers.append(
                StoredLayer(
                    name, container, {key: variables[key] for key in sorted(variables, key=lambda key: (len(key), key))}
                )
            )
    return tuple(layers)


def _class_and_number(container: str) -> tuple[str, int]:
    kind, _, number = container.rpartition("_")
    return (kind, int(number)) if number.isdigit() and kind else (container, 0)


def _attribute(group: Any, name: str) -> list[str]:
    """Return a list of names; long ones are spread over ``name0``, ``name1``, ..."""
    if name in group.attrs:
        return [_text(each) for each in group.attrs[name]]
    found: list[str] = []
    number = 0
    while f"{name}{number}" in group.attrs:
        found += [_text(each) for each in group.attrs[f"{name}{number}"]]
        number += 1
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
