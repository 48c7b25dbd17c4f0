"""Run a network over a whole interferogram: one logit per `stride` pixels, scenes of any size, no seams.

Small scenes (up to :data:`DEFAULT_TILE_PX` on a side) pass through the network at once. Larger ones are cut into tiles
that overlap by the network's receptive field, and only the part of each tile that its border cannot reach is kept, so
that the result is the one that a single pass would give (the overlap-tile strategy of Ronneberger et al. 2015, with
no data instead of mirrored data outside the scene). Phase is read one band of tiles at a time, never as a whole: at
30,000 pixels width a band takes 250 MB.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fringewatch.errors import BundleError
from fringewatch.patches import place_centred
from fringewatch.scan.reading import phase_of, read_window
from fringewatch.scan.result import Scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.models import Bundle, Card

__all__ = ["DEFAULT_TILE_PX", "scan", "scan_many"]

DEFAULT_TILE_PX = 2048
"""Largest side of the network's input, overlap included; at 2048 the default network needs about 1 GB."""

_BATCH_PIXELS = 2**19
"""Most pixels of the network's input where several scenes go through it at once: two clips of 500 x 500. Layers of more
do not fit the processor's caches, and take a tenth longer for each scene."""
_SMALLEST_INPUT_PX = 32
_WORDS = {2: np.uint16, 4: np.uint32, 8: np.uint64}
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
        data. Scenes within a bundle's ``crop_px`` are one crop, of which every map pixel has the score.
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
    stride = card.stride
    height, width = (int(size) for size in phase.shape)
    if card.crop_px is not None and max(height, width) <= card.crop_px[1]:
        return _scan_crop(read_window(phase, slice(0, height), slice(0, width)), bundle, card.crop_px[0])
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
            tile = _run(window[None], bundle)[0]
            target = row.target(stride), column.target(stride)
            logits[target] = tile[row.kept(stride), column.kept(stride)]
            valid[target] = _any_in_blocks(has_data[row.kept(1), column.kept(1)], stride)
    return _cut(logits, valid, phase.shape, stride)


def scan_many(
    interferograms: Sequence[xr.Dataset | xr.DataArray], bundle: Bundle, *, tile_px: int | None = None
) -> list[Scan]:
    """Run a bundle's network over several scenes; small ones of one size go through it together.

    Parameters
    ----------
    interferograms, bundle, tile_px
        As for :func:`scan`.

    Returns
    -------
    list of Scan
        In the order of the scenes; bit for bit what :func:`scan` gives for each by itself.

    Raises
    ------
    ProductError, BundleError
        As :func:`scan`.
    """
    limit = DEFAULT_TILE_PX if tile_px is None else tile_px
    together: dict[tuple[int, int], list[int]] = {}
    results: dict[int, Scan] = {}
    phases = [phase_of(interferogram) for interferogram in interferograms]
    for index, (interferogram, phase) in enumerate(zip(interferograms, phases, strict=True)):
        height, width = phase.shape
        padded = _padded(height, bundle.card), _padded(width, bundle.card)
        if max(padded) > limit:
            results[index] = scan(interferogram, bundle, tile_px=tile_px)
        else:
            together.setdefault(padded, []).append(index)
    for padded, indices in together.items():
        number = max(1, _BATCH_PIXELS // (padded[0] * padded[1]))
        for first in range(0, len(indices), number):
            batch = indices[first : first + number]
            scans = _scan_batch([phases[index] for index in batch], padded, bundle)
            results.update(zip(batch, scans, strict=True))
    return [results[index] for index in range(len(interferograms))]


def _scan_batch(phases: Sequence[xr.Variable], padded: tuple[int, int], bundle: Bundle) -> Iterator[Scan]:
    """Scan scenes whose padded size is the same and fits the network's input."""
    encoding, stride = bundle.card.encoding, bundle.card.stride
    # Encoded where the network reads it: to pad and stack the phase first takes half as long as encoding it.
    inputs = np.empty((len(phases), encoding.channels, *padded), np.float32)
    nothing = encoding(np.full((1, 1), np.nan, np.float32))
    valid = []
    for phase, encoded in zip(phases, inputs, strict=True):
        height, width = phase.shape
        values = np.asarray(phase.values, np.float32)
        has_data = np.zeros(padded, bool)
        encoding(values, out=encoded[:, :height, :width], known=has_data[:height, :width])
        encoded[:, height:] = nothing
        encoded[:, :, width:] = nothing
        valid.append(_any_in_blocks(has_data, stride))
    for phase, some, logits in zip(phases, valid, _infer(inputs, bundle), strict=True):
        if not some.any():
            logits[:] = _NOTHING_LOGIT
        yield _cut(logits, some, phase.shape, stride)


def _cut(logits: NDArray[np.float32], valid: NDArray[np.bool_], shape: tuple[int, ...], stride: int) -> Scan:
    """Return the map of a scene of `shape` without what was padded."""
    height, width = (int(size) for size in shape)
    map_height, map_width = -(-height // stride), -(-width // stride)
    return Scan(logits[:map_height, :map_width], valid[:map_height, :map_width], (height, width), stride)


def _scan_crop(phase: NDArray[np.float32], bundle: Bundle, smallest_px: int) -> Scan:
    """Score a crop as the one whole that the network was trained on."""
    height, width = phase.shape
    stride = bundle.card.stride
    has_data = np.pad(np.isfinite(phase), ((0, -height % stride), (0, -width % stride)))
    valid = _any_in_blocks(has_data, stride)
    logit = _NOTHING_LOGIT
    if valid.any():
        crop = place_centred(phase, max(height, smallest_px), max(width, smallest_px))
        _, scene = bundle.logits(bundle.card.encoding(crop)[None])
        logit = scene[0, 1] - scene[0, 0]
    return Scan(np.full(valid.shape, logit, np.float32), valid, (height, width), stride)


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


def _run(windows: NDArray[np.float32], bundle: Bundle) -> NDArray[np.float32]:
    """Return the map logits (N, h, w) of windows (N, H, W) of phase."""
    return _infer(bundle.card.encoding(windows), bundle)


def _infer(inputs: NDArray[np.float32], bundle: Bundle) -> NDArray[np.float32]:
    """Return the map logits (N, h, w) of encoded phase (N, C, H, W)."""
    card = bundle.card
    if card.multiple % card.stride:
        message = f"{bundle.folder}: stride {card.stride} does not divide multiple {card.multiple}; export it again"
        raise BundleError(message)
    map_logits, _ = bundle.logits(inputs)
    number, _, height, width = inputs.shape
    expected = (number, 1, height // card.stride, width // card.stride)
    if map_logits.shape != expected:
        message = (
            f"{bundle.folder}: the network's map has shape {map_logits.shape}, its card promises {expected} "
            f"(stride {card.stride}); export the bundle again"
        )
        raise BundleError(message)
    result: NDArray[np.float32] = map_logits[:, 0]
    return result


def _any_in_blocks(mask: NDArray[np.bool_], stride: int) -> NDArray[np.bool_]:
    # One axis after the other: twenty times as fast as `any` over both axes of a reshaped mask.
    rows = functools.reduce(np.logical_or, (mask[start::stride] for start in range(stride)))
    if stride in _WORDS and rows.shape[1] % stride == 0:
        # As many bytes in one word: some are not zero where it is not.
        some: NDArray[np.bool_] = np.ascontiguousarray(rows).view(_WORDS[stride]) != 0
        return some
    return functools.reduce(np.logical_or, (rows[:, start::stride] for start in range(stride)))
