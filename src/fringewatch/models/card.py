"""The model card: everything a bundle must say of itself, as one strict pydantic model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from fringewatch.config import Config
from fringewatch.encoding import Encoding

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Calibration", "Card", "Thresholds"]

Precision = Literal["float32", "int8"]


class Thresholds(Config):
    """Decision levels on calibrated scores, and what they cost in false alarms."""

    scene: float = Field(0.5, ge=0, le=1, description="A scene whose calibrated score reaches this is flagged.")
    region_edge: float = Field(0.3, ge=0, le=1, description="A detection grows to where the probability falls to this.")
    false_alarm_rate: float = Field(
        0.05, ge=0, le=1, description="Share of quiet scenes flagged at `scene`, on the set named in the next field."
    )
    false_alarm_set: str = Field("", description="Which quiet scenes the rate was measured on, and how many.")


class Calibration(Config):
    """Platt scaling of logits: ``probability = 1 / (1 + exp(-(slope * logit + offset)))`` (Platt 1999)."""

    slope: float = Field(1.0, gt=0, description="Factor on the logit.")
    offset: float = Field(0.0, description="Added to the scaled logit.")
    fitted_on: str = Field("", description="The data that slope and offset were fitted on.")

    def __call__(self, logit: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return calibrated probabilities of logits of any shape; NaN stays NaN."""
        scaled = np.float32(self.slope) * np.asarray(logit, np.float32) + np.float32(self.offset)
        # tanh form: no overflow at either end.
        result: NDArray[np.float32] = np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * scaled))
        return result

    def inverse(self, probability: ArrayLike) -> NDArray[np.float64]:
        """Return the logits of probabilities of any shape; 0 and 1 count as a millionth from there."""
        inside = np.clip(np.asarray(probability, np.float64), 1e-6, 1 - 1e-6)
        result: NDArray[np.float64] = (np.log(inside / (1 - inside)) - self.offset) / self.slope
        return result


class Card(Config):
    """What a model bundle is, what it was trained on and how well it does; ``card.json``."""

    name: str = Field(description="Name of the bundle, used in `--model` and in every detection.")
    version: str = Field(description="Version of the weights.")
    description: str = Field("", description="One paragraph: what it finds, where it was checked, where it fails.")
    architecture: str = Field(description="Name of the network.")
    architecture_settings: dict[str, Any] = Field(default_factory=dict, description="Arguments that rebuild it.")
    parameters: int = Field(ge=1, description="Number of trained parameters.")
    classes: tuple[str, ...] = Field(("background", "deformation"), description="Classes in the order of the outputs.")
    encoding: Encoding = Field(default_factory=Encoding, description="How phase becomes network input.")
    stride: int = Field(4, ge=1, description="Input pixels per pixel of the probability map.")
    multiple: int = Field(16, ge=1, description="Height and width of the network's input are multiples of this.")
    halo_px: int = Field(ge=0, description="Radius of the receptive field; tiles overlap by this on each side.")
    patch_px: int | None = Field(
        None,
        ge=1,
        description="Side of the patches that a classifier was trained on; each map pixel is the score of one. Empty "
        "for a network that maps scenes.",
    )
    crop_px: tuple[int, int] | None = Field(
        None,
        description="Smallest and largest side of crops that a classifier takes whole, where it was trained on crops "
        "of many sizes: a scene no larger is one crop with one score; a shorter side is filled up with no data.",
    )
    calibration: Calibration = Field(default_factory=Calibration, description="Map logits to probabilities.")
    patch_calibration: Calibration | None = Field(
        None,
        description="The same of a patch that is a scene of its own; empty where `calibration` holds there too. Inside "
        "a classifier zeros surround such a patch, where a larger scene goes on, and shift the logit.",
    )
    scene_calibration: Calibration = Field(
        default_factory=Calibration, description="Scene logit (the maximum of the smoothed map logits) to the score."
    )
    thresholds: Thresholds = Field(default_factory=Thresholds, description="Decision levels.")
    training: dict[str, Any] = Field(default_factory=dict, description="Data, settings, seed, versions.")
    scores: dict[str, Any] = Field(default_factory=dict, description="Evaluation results with intervals, per data set.")
    licence: str = Field("BSD-3-Clause", description="Licence of the weights.")
    citation: str = Field("", description="How to cite it.")
    requires: str = Field(">=0.1", description="Versions of fringewatch that read this bundle.")
    files: dict[Precision, str] = Field(description="Precision to file name.")
    default_precision: Precision = Field(
        "int8", description="Which of `files` runs unless another is asked for; calibration and thresholds are its own."
    )
    weights: str | None = Field(
        None, description="File with the weights as trained, in torch's format; training can start from them."
    )
    sha256: dict[str, str] = Field(description="File name to SHA-256 of its content.")

    def of_patches(self) -> Card:
        """Return the card that holds for patches by themselves: with `patch_calibration` in place of `calibration`."""
        if self.patch_calibration is None:
            return self
        return self.model_copy(update={"calibration": self.patch_calibration})
