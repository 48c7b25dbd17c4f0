"""The pictures of a patch data set: wrapped phase as 8-bit grey, validity as alpha."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from fringewatch.conventions import wrap
from fringewatch.errors import OutputError, ProductError
from fringewatch.files import atomic_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_phase", "write_patch"]


def read_phase(path: str | Path) -> NDArray[np.float32]:
    """Read the phase of a patch in any format.

    Grey pictures with or without alpha are decoded here; everything else goes through
    :func:`fringewatch.products.open_interferogram`.

    Returns
    -------
    numpy.ndarray
        (H, W) float32, wrapped radians in (-pi, pi]; NaN = no data.

    Raises
    ------
    ProductError
        If the file cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() in {".png", ".jpg", ".jpeg"}:
        try:
            with Image.open(path) as image:
                if image.mode in {"L", "LA"}:
                    return _decode(np.asarray(image))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            message = f"{path}: cannot be read as a picture ({reason}); expected 8-bit grey, with alpha as validity"
            raise ProductError(message) from error
    from fringewatch.products import open_interferogram

    phase: NDArray[np.float32] = np.asarray(open_interferogram(path)["phase"].values, np.float32)
    return phase


def write_patch(path: str | Path, phase_rad: NDArray[np.float32]) -> None:
    """Write wrapped phase as an 8-bit grey PNG with alpha as validity, atomically.

    Rounding to 256 levels costs at most pi / 255 = 0.0123 rad.

    Parameters
    ----------
    path
        File to write, suffix ``.png``; its folder must exist.
    phase_rad
        (H, W) wrapped radians in (-pi, pi]; NaN = no data, written as grey 0 under alpha 0.

    Raises
    ------
    OutputError
        If the file cannot be written, or its name does not end in ``.png``.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        message = f"{path}: patches are PNG files, expected a name that ends in .png"
        raise OutputError(message)
    valid = np.isfinite(phase_rad)
    grey = np.rint((np.where(valid, phase_rad, np.float32(-np.pi)) + np.pi) * (255 / (2 * np.pi)))
    pixels = np.stack([np.clip(grey, 0, 255), np.where(valid, 255, 0)], axis=-1).astype(np.uint8)
    with atomic_path(path) as temporary:
        # The default effort takes seven times as long, as long as simulating the patch, for 15 % smaller files; noise
        # has no repetitions to look for.
        Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)


def _decode(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    # Grey 0 is -pi, which wraps to pi: both ends of the grey scale are one phase.
    phase = wrap(grey.astype(np.float32) * np.float32(2 * np.pi / 255) - np.float32(np.pi))
    if pixels.ndim == 3:
        phase[pixels[..., 1] == 0] = np.nan
    return phase
