"""Phase to network input: one object that training, detection and the model card share.

The default, ``cos-sin-valid``, has no jump at plus or minus pi and says where data are missing. The study's encodings
are ``grey`` ([-pi, pi] to [0, 255], three equal channels) and ``zero-centred`` ([-pi, pi] to [-125, 125]). Weights from
ImageNet expect the grey picture prepared as their release prepared photographs: ``imagenet-caffe``, ``imagenet-tf`` and
``imagenet-torch`` are the three modes of ``keras.applications.imagenet_utils.preprocess_input``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fringewatch.config import Config

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Encoding", "EncodingKind"]

EncodingKind = Literal["cos-sin-valid", "grey", "zero-centred", "imagenet-caffe", "imagenet-tf", "imagenet-torch"]

# Scale and offset per channel from grey in [0, 255], each channel its own. The means and deviations are those of the
# photographs of ImageNet as each framework published them; caffe's channels are blue, green, red.
_FROM_GREY: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "grey": ((1, 1, 1), (0, 0, 0)),
    "imagenet-caffe": ((1, 1, 1), (-103.939, -116.779, -123.68)),
    "imagenet-tf": ((1 / 127.5, 1 / 127.5, 1 / 127.5), (-1, -1, -1)),
    "imagenet-torch": (
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
    ),
}


_BAND_ROWS = 64
_ONE_BITS = np.float32(1).view(np.int32)


class Encoding(Config):
    """How wrapped phase becomes the channels of a network.

    No data (NaN) becomes 0 in every channel of ``cos-sin-valid`` and ``zero-centred``, and the grey of zero phase in
    ``grey`` and the ``imagenet`` kinds.
    """

    kind: EncodingKind = Field(
        "cos-sin-valid",
        description="cos, sin and validity; or the study's grey [0, 255] or [-125, 125], three times; or that grey as "
        "weights from ImageNet expect it (caffe: VGG16, ResNet50; tf: InceptionV3; torch: DenseNet121).",
    )
    pixel_size_m: tuple[float, float] | None = Field(
        None, description="Smallest and largest pixel size (m) of the training data; detection warns outside."
    )

    @property
    def channels(self) -> int:
        """Number of channels: always three."""
        return 3

    def __call__(
        self,
        phase_rad: NDArray[np.float32],
        *,
        out: NDArray[np.float32] | None = None,
        known: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float32]:
        """Encode phase.

        Parameters
        ----------
        phase_rad
            (..., H, W) float32, wrapped radians in (-pi, pi]; NaN = no data.
        out
            (..., 3, H, W) float32 to write to; new and C-contiguous if not given.
        known
            (..., H, W) bool to write to where there is data, which is looked for anyway.

        Returns
        -------
        numpy.ndarray
            (..., 3, H, W) float32: `out`.
        """
        if out is None:
            out = np.empty((*phase_rad.shape[:-2], 3, *phase_rad.shape[-2:]), np.float32)
        if known is None:
            known = np.empty(phase_rad.shape, bool)
        if self.kind == "cos-sin-valid":
            for index in np.ndindex(phase_rad.shape[:-2]):
                _turn(phase_rad[index], out[index], known[index])
            return out
        phase = np.where(np.isfinite(phase_rad, out=known), phase_rad, np.float32(0))
        if self.kind == "zero-centred":
            out[...] = (phase * np.float32(125 / np.pi))[..., None, :, :]
        else:
            grey = (phase + np.float32(np.pi)) * np.float32(255 / (2 * np.pi))
            for channel, (scale, offset) in enumerate(zip(*_FROM_GREY[self.kind], strict=True)):
                np.multiply(grey, np.float32(scale), out=out[..., channel, :, :])
                out[..., channel, :, :] += np.float32(offset)
        return out


def _turn(phase_rad: NDArray[np.float32], out: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
    """Write cosine, sine and validity (3, H, W) of phase (H, W), and where it is known (H, W)."""
    # A band that fits the processor's cache at a time. Masks of bits, since in incoherent places one pixel has data and
    # the next has none, where whatever branches takes six times as long.
    for top in range(0, phase_rad.shape[0], _BAND_ROWS):
        rows = slice(top, top + _BAND_ROWS)
        phase = np.ascontiguousarray(phase_rad[rows], np.float32)
        finite = np.isfinite(phase, out=known[rows])
        real, imaginary, valid = out[0, rows], out[1, rows], out[2, rows]
        if finite.all():
            np.cos(phase, out=real)
            np.sin(phase, out=imaginary)
            valid.fill(1)
            continue
        bits = np.negative(finite.view(np.int8)).astype(np.int32)
        zeroed = (phase.view(np.int32) & bits).view(np.float32)
        np.cos(zeroed, out=real)
        np.sin(zeroed, out=imaginary)
        # The cosine of what has no data is one by now; its sine is zero.
        np.bitwise_and(real.view(np.int32), bits, out=real.view(np.int32))
        np.bitwise_and(bits, _ONE_BITS, out=valid.view(np.int32))
