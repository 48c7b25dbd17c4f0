"""Run a network over a whole interferogram: one logit per `stride` pixels, scenes of any size, no seams.

Small scenes (up to :data:`DEFAULT_TILE_PX` on a side) pass through the network at once. Larger ones are cut into tiles
that overlap by the network's receptive field, and only the part of each tile that its border cannot reach is kept, so
that the result is the one that a single pass would give (the overlap-tile strategy of Ronneberger et al. 2015, with
no data instead of mirrored data outside the scene). Phase is read one band of tiles at a time, never as a whole: at
30,000 pixels width a band takes 250 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import BundleError
from fringewatch.scan.reading import phase_of, read_window
from fringewatch.scan.result import Scan

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Bundle, Card

__all__ = ["DEFAULT_TILE_PX", "scan"]

DEFAULT_TILE_PX = 2048
"""Largest side of the network's input, overlap included; at 2048 the default network needs about 1 GB."""

_SMALLEST_INPUT_PX = 32
_NOTHING_LOGIT = np.float32(-20)
"""Filled in where a whole tile has no data and the network is not run; such places are masked in every result."""


class _Span(NamedTuple):
    """One axis of a tile, in pixels of the padded scene: what the network reads and the part that is kept."""

    read: slice
    keep: slice

    def kept(self, step: int) -> slice:
        """Return the kept part counted from the start of what is read, in units of `step` pixels."""
        return slice((self.keep.start - self.read.start) // step, (self.keep.stop - self.read.start) // step)

    def target(self, step: int) -> slice:
        """Return the kept part in the padded scene, in units of `step` pixels."""
        return slice(self.keep.start // step, self.keep.stop // step)


def scan(interferogram: xr.Dataset | xr.DataArray, bundle: Bundle, *, tile_px: int | None = None) -> Scan:
    """Run a bundle's network over a scene.

    Parameters
    ----------
    interferogram
        An interferogram, or its phase alone: (H, W) float32, wrapped radians in (-pi, pi], NaN = no data. A dask-backed
        one is read band by band. Sides of 1 to 30,000 pixels; below 32, or a classifier's patch, it is padded with no
        data.
    bundle
        The network and its card.
    tile_px
        Largest side of the network's input, overlap included; None takes :data:`DEFAULT_TILE_PX`. It grows by itself
        where the network's overlap leaves nothing to keep. Memory grows with its square; the result does not depend
        on it.

    Returns
    -------
    Scan
        Logits at the bundle's stride, and where they rest on data.

    Raises
    ------
    ProductError
        If the phase is not two-dimensional.
    BundleError
        If the network's output is not at the stride that its card promises.
    """
    phase = phase_of(interferogram)
    card = bundle.card
    if card.multiple % card.stride:
        message = f"{bundle.folder}: stride {card.stride} does not divide multiple {card.multiple}; export it again"
        raise BundleError(message)
    stride = card.stride
    height, width = (int(size) for size in phase.shape)
    padded = _padded(height, card), _padded(width, card)
    logits = np.full((padded[0] // stride, padded[1] // stride), _NOTHING_LOGIT, np.float32)
    valid = np.zeros(logits.shape, bool)
    limit = DEFAULT_TILE_PX if tile_px is None else tile_px
    columns = _spans(padded[1], card, limit)
    for row in _spans(padded[0], card, limit):
        # One band of tiles is read at once: neighbouring tiles overlap, and files are often stored in rows.
        band = read_window(phase, row.read, slice(0, padded[1]))
        for column in columns:
            window = band[:, column.read]
            has_data = np.isfinite(window)
            if not has_data.any():
                continue
            tile = _run(window, bundle)
            target = row.target(stride), column.target(stride)
            logits[target] = tile[row.kept(stride), column.kept(stride)]
            valid[target] = _any_in_blocks(has_data[row.kept(1), column.kept(1)], stride)
    map_height, map_width = -(-height // stride), -(-width // stride)
    return Scan(logits[:map_height, :map_width], valid[:map_height, :map_width], (height, width), stride)


def _padded(size: int, card: Card) -> int:
    return -(-max(size, card.patch_px or _SMALLEST_INPUT_PX) // card.multiple) * card.multiple


def _spans(size: int, card: Card, tile_px: int) -> list[_Span]:
    """Cut one axis of a padded scene into tiles of even size that overlap by the halo on both sides."""
    if size <= tile_px:
        return [_Span(slice(0, size), slice(0, size))]
    halo = -(-card.halo_px // card.multiple) * card.multiple
    # At least as much is kept as is overlapped, or the work would grow without bound.
    core = max(tile_px - 2 * halo, halo, card.multiple)
    number = -(-size // core)
    core = -(-size // (number * card.multiple)) * card.multiple
    return [
        _Span(slice(max(start - halo, 0), min(start + core + halo, size)), slice(start, min(start + core, size)))
        for start in range(0, size, core)
    ]


def _run(window: NDArray[np.float32], bundle: Bundle) -> NDArray[np.float32]:
    map_logits, _ = bundle.logits(bundle.card.encoding(window)[None])
    stride = bundle.card.stride
    expected = (1, 1, window.shape[0] // stride, window.shape[1] // stride)
    if map_logits.shape != expected:
        message = (
            f"{bundle.folder}: the network's map has shape {map_logits.shape}, its card promises {expected} "
            f"(stride {stride}); export the bundle again"
        )
        raise BundleError(message)
    result: NDArray[np.float32] = map_logits[0, 0]
    return result


def _any_in_blocks(mask: NDArray[np.bool_], stride: int) -> NDArray[np.bool_]:
    height, width = mask.shape
    blocks = mask.reshape(height // stride, stride, width // stride, stride)
    result: NDArray[np.bool_] = np.any(blocks, axis=(1, 3))
    return result
