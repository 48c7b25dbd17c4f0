"""The settings of `fringewatch train-cnn`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fringewatch.config import Place  # noqa: TC001 - pydantic looks it up
from fringewatch.encoding import EncodingKind  # noqa: TC001 - pydantic looks it up
from fringewatch.networks.registry import NetworkConfig, NetworkName, NetworkOptions
from fringewatch.patches import Fit  # noqa: TC001 - pydantic looks it up
from fringewatch.training.classifier.optimizers import LEARNING_RATES, OptimizerName

__all__ = ["HARMLESS", "ClassifierConfig"]

HARMLESS = {
    *("resume", "overwrite", "workers", "out", "data", "name", "description"),
    *("gradient_checkpointing", "export", "cuda_graphs", "false_alarm_rate"),
}
"""Settings that do not change the weights: a run can be resumed with others. Data are compared by their content."""


class ClassifierConfig(NetworkOptions):
    """Train one of the study's CNNs on labelled patches and export it as a model bundle."""

    network: NetworkName = Field(description="Network to train.", json_schema_extra={"positional": True})
    data: Path = Field(description="Patch data set: a manifest.csv, its folder, or a folder of class folders.")
    out: Path = Field(Path("runs/cnn"), description="Folder for checkpoints, history and the bundle.")
    name: str = Field("", description="Name of the bundle; if not given the network's.")
    description: str = Field("", description="What the model is, for its card.")
    encoding: EncodingKind | None = Field(
        None,
        description="Input: the study's grey [0, 255], zero-centred [-125, 125], cos-sin-valid, or that of a release "
        "of ImageNet weights. If not given what the weights were trained on, else grey.",
    )
    weights: Place | None = Field(
        None,
        description="Start values of the backbone: `imagenet`, a Keras .h5 file, a model bundle or a weights.pt of "
        "this command. If not given they are drawn.",
    )
    positive: tuple[str, ...] = Field(
        (), description="More label words that mean deformation, such as the names of your class folders."
    )
    negative: tuple[str, ...] = Field((), description="More label words that mean background.")
    optimizer: OptimizerName = Field("sgd", description="Optimiser, with the formulas and defaults of Keras.")
    learning_rate: float | None = Field(
        None, gt=0, description="Learning rate at the first step; if not given 0.001, for adadelta 1.0."
    )
    decay: float = Field(
        1e-6, ge=0, description="Decay of the learning rate with each step: learning_rate / (1 + decay * step)."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    nesterov: bool = Field(True, description="Nesterov's momentum for sgd.")
    norm_momentum: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Share of the old statistics that batch norms keep at each step. At Keras' 0.99 validation sees "
        "unready statistics for the first 500 steps; take 0.9 for small sets.",
    )
    epochs: int = Field(20, ge=1, description="Passes over the training patches; 50 for AlexNet in the study.")
    batch_size: int = Field(32, ge=2, description="Patches per step.")
    least_steps: int = Field(
        1,
        ge=1,
        description="Fewest steps of an epoch: a small set is passed over as often as it takes, each time anew.",
    )
    examples: int | None = Field(
        None,
        ge=2,
        description="Training patches to use, as many of each class, drawn by the seed; fewer are a part of more. If "
        "not given all. Validation is the same for any number.",
    )
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = Field(
        "none",
        description="Weight of each class in the loss: equal, inverse to its share of the training patches, or one "
        "number each.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Stop after so many epochs without a lower validation loss, and keep the weights of the best one; "
        "if not given all epochs are run and the last weights kept.",
    )
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="Share of patches to validate on if the set has no split; sites are not shared."
    )
    augment: bool = Field(
        True, description="Draw phase offset, sign, mirror image and quarter turn of training patches in each epoch."
    )
    fit: Fit | None = Field(
        None,
        description="How patches of other sizes are brought to the network's: `resize` (resampled as complex numbers), "
        "`pad` (no data around, larger ones shrunk), `crop` (the middle), or `none`: each keeps its size, and batches "
        "hold those of near size (top `spp` or `pooling`). If not given they are refused.",
    )
    largest_px: int = Field(
        512, ge=32, le=4096, description="Longest side of patches that keep their size; larger ones are shrunk to it."
    )
    precision: Literal["bf16-mixed", "32-true"] = Field("bf16-mixed", description="Arithmetic of training.")
    gradient_checkpointing: bool = Field(
        False, description="Compute the backbone's maps twice instead of keeping them: less memory, a third slower."
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to train.")
    cuda_graphs: bool = Field(
        True, description="On a GPU, record the network once and replay it: up to twice as fast at small batches."
    )
    workers: int = Field(4, ge=1, description="Threads that read patches.")
    export: bool = Field(True, description="Write the bundle that `fringewatch detect --model` runs.")
    false_alarm_rate: float = Field(
        0.1, gt=0, lt=1, description="Share of the validation set's background patches that the bundle may flag."
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of the split, start values, order and augmentation.")
    resume: bool = Field(False, description="Go on from the last checkpoint in --out.")
    overwrite: bool = Field(False, description="Begin anew where --out holds an earlier training, and remove that one.")

    @model_validator(mode="after")
    def _check(self) -> ClassifierConfig:
        if isinstance(self.class_weights, tuple) and (
            len(self.class_weights) < 2 or min(self.class_weights) < 0 or sum(self.class_weights) <= 0
        ):
            message = f"class_weights = {self.class_weights}: expected a number >= 0 for each class, not all 0"
            raise ValueError(message)
        kind = self.top or ("original" if self.network == "alexnet" else "pooling")
        if self.fit == "none" and kind not in {"spp", "pooling"}:
            message = f"fit = none: the top {kind!r} takes patches of one size; choose --top spp or pooling"
            raise ValueError(message)
        return self

    @property
    def bundle_name(self) -> str:
        """Name of the bundle."""
        return self.name or self.network

    @property
    def rate(self) -> float:
        """Learning rate at the first step."""
        return self.learning_rate or LEARNING_RATES[self.optimizer]

    def resolved(self) -> dict[str, Any]:
        """Return every setting by name, as it takes effect: two runs that differ in none are one."""
        taken = {
            "name": self.bundle_name,
            "learning_rate": self.rate,
            "top": self.top or ("original" if self.network == "alexnet" else "pooling"),
            "input_size_px": self.network_config(2).side_px,
        }
        if self.encoding is None and self.weights is None:
            taken["encoding"] = "grey"
        return dict(self) | taken

    def network_config(self, classes: int) -> NetworkConfig:
        """Return the settings of the network, for patches of so many classes."""
        options = {name: getattr(self, name) for name in NetworkOptions.model_fields}
        if self.classes is None and (self.network != "alexnet" or self.top not in {None, "original"}):
            options["classes"] = classes
        return NetworkConfig.build({"name": self.network, **options}, where="network")
