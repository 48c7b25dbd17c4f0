"""Phase to network input: one object that training, detection and the model card share.

The default, ``cos-sin-valid``, has no jump at plus or minus pi and says where data are missing. The study's encodings
are ``grey`` ([-pi, pi] to [0, 255], three equal channels) and ``zero-centred`` ([-pi, pi] to [-125, 125]).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fringewatch.config import Config

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Encoding"]


class Encoding(Config):
    """How wrapped phase becomes the channels of a network.

    No data (NaN) becomes 0 in every channel of ``cos-sin-valid`` and ``zero-centred``, and the grey of zero phase in
    ``grey``.
    """

    kind: Literal["cos-sin-valid", "grey", "zero-centred"] = Field(
        "cos-sin-valid", description="cos, sin and validity; or the study's grey [0, 255] or [-125, 125], three times."
    )
    pixel_size_m: tuple[float, float] | None = Field(
        None, description="Smallest and largest pixel size (m) of the training data; detection warns outside."
    )

    @property
    def channels(self) -> int:
        """Number of channels: always three."""
        return 3

    def __call__(self, phase_rad: NDArray[np.float32]) -> NDArray[np.float32]:
        """Encode phase.

        Parameters
        ----------
        phase_rad
            (..., H, W) float32, wrapped radians in (-pi, pi]; NaN = no data.

        Returns
        -------
        numpy.ndarray
            (..., 3, H, W) float32, C-contiguous.
        """
        valid = np.isfinite(phase_rad)
        phase = np.where(valid, phase_rad, np.float32(0))
        out = np.empty((*phase.shape[:-2], 3, *phase.shape[-2:]), np.float32)
        if self.kind == "cos-sin-valid":
            np.cos(phase, out=out[..., 0, :, :])
            np.sin(phase, out=out[..., 1, :, :])
            out[..., 0, :, :] *= valid
            out[..., 2, :, :] = valid
        elif self.kind == "grey":
            out[...] = ((phase + np.float32(np.pi)) * np.float32(255 / (2 * np.pi)))[..., None, :, :]
        else:
            out[...] = (phase * np.float32(125 / np.pi))[..., None, :, :]
        return out
