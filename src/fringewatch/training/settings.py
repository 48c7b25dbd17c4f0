"""The settings of `fringewatch train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from fringewatch.config import Config, Place
from fringewatch.errors import ConfigError
from fringewatch.simulate import SceneSpec, preset

__all__ = ["HARMLESS", "TrainConfig"]

HARMLESS = {
    "resume",
    "overwrite",
    "workers",
    "cache",
    "out",
    "description",
    "false_alarm_rate",
    "export",
    "cuda_graphs",
}
"""Settings that do not change the weights: a run can be resumed with others."""

_SEEN = (
    "It sees one interferogram and no terrain, so stratified delay over a steep cone can look to it like inflation "
    "(compare phase_height_correlation). Deformation under half a fringe, or in phase that is decorrelated throughout, "
    "stays unseen."
)
_DESCRIPTIONS = {
    "mixed": "Finds ground deformation in wrapped interferograms of any provider by the look of its fringes. Its "
    f"examples of deformation are all simulated: volcanoes, earthquakes, mines. {_SEEN}",
    "volcano": "Finds deformation of volcanoes in wrapped interferograms by the look of its fringes. Its examples of "
    f"deformation are all simulated: magma chambers, dykes, sills and sheets. {_SEEN}",
    "earthquake": "Finds deformation by earthquakes in wrapped interferograms by the look of its fringes. Its examples "
    f"of deformation are all simulated ruptures. {_SEEN}",
    "mining": "Finds subsidence troughs over mines in wrapped interferograms of short pairs. Its examples of troughs "
    "are all simulated: longwall panels and small pits, many of them weak, small or merging. It sees one "
    "interferogram and no terrain, and was taught no volcanoes or earthquakes. Troughs under half a fringe or a few "
    "pixels wide, or in phase that is decorrelated throughout, stay unseen.",
}


class TrainConfig(Config):
    """Train a network on simulated samples and export it as a model bundle with calibrated thresholds."""

    out: Path = Field(Path("runs/train"), description="Folder for checkpoints, history and the bundle.")
    name: str = Field("fringenet", description="Name of the bundle.")
    description: str = Field("", description="What the model is, for its card; default: what its population makes it.")
    preset: Literal["mixed", "volcano", "mining", "earthquake"] = Field("mixed", description="Simulated population.")
    simulation: dict[str, Any] = Field(
        default_factory=dict, description="Fields of SceneSpec that differ from the preset (in a --config file)."
    )
    network: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of FringeNet that differ from its defaults (in a --config file), such as "
        "{stem: [16, 24], finest: 4, stride: 2}.",
    )
    samples: int = Field(40_000, ge=64, description="Simulated training samples.")
    holdout: int = Field(4_000, ge=64, description="Samples held out: other seed, other real-noise sites.")
    noise_from: Path | None = Field(
        None, description="Folder of real quiet patches (PNG, grey + alpha) to put simulated deformation on."
    )
    cache: Path = Field(Path("cache"), description="Where simulated samples are kept between runs.")
    epochs: int = Field(6, ge=1, description="Passes over the samples.")
    batch_size: int = Field(32, ge=2, description="Samples per step.")
    learning_rate: float = Field(3e-3, gt=0, description="Highest learning rate of the one-cycle schedule (AdamW).")
    weight_decay: float = Field(1e-2, ge=0, description="Decoupled weight decay.")
    positive_weight: float = Field(3.0, gt=0, description="Weight of deforming pixels in the map loss.")
    weights: Place = Field(
        "",
        description="Bundle or file (weights.pt) to start from instead of from nothing, such as the default model for "
        "a population of your own.",
    )
    teachers: tuple[Place, ...] = Field(
        (), description="Model bundles whose mean answer the network learns beside the labels, and then errs less."
    )
    teachers_share: float = Field(0.5, ge=0, le=1, description="What the teachers weigh against the labels.")
    precision: Literal["bf16-mixed", "32-true"] = Field("bf16-mixed", description="Arithmetic of training.")
    accelerator: Literal["auto", "cpu", "gpu"] = Field("auto", description="Where to train.")
    cuda_graphs: bool = Field(
        True, description="On a GPU, record the network once and replay it: up to twice as fast at small batches."
    )
    workers: int = Field(2, ge=0, description="Processes that simulate samples.")
    false_alarm_rate: float = Field(0.05, gt=0, lt=1, description="Share of quiet scenes that may be flagged.")
    export: bool = Field(
        True,
        description="Write the bundle after training. If not, the same command with --resume does it later, on another "
        "machine if `train.yaml`, `samples.json` and `weights.pt` of --out are taken there.",
    )
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of samples, initial weights, order and augmentation.")
    resume: bool = Field(False, description="Go on from the last checkpoint in --out.")
    overwrite: bool = Field(False, description="Begin anew where --out holds an earlier training, and remove that one.")

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.batch_size > self.samples:
            message = f"batch_size = {self.batch_size} is more than samples = {self.samples}; no step would be made"
            raise ValueError(message)
        return self

    def resolved(self) -> dict[str, Any]:
        """Return every setting by name, as it takes effect."""
        return dict(self)

    def describe(self) -> str:
        """Return what the model is, for its card."""
        return self.description or _DESCRIPTIONS[self.preset]

    def spec(self) -> SceneSpec:
        """Return the simulated population: the preset with `simulation` on top.

        Raises
        ------
        ConfigError
            If `simulation` holds what no SceneSpec has, or the population lacks quiet or deforming scenes.
        """
        spec = SceneSpec.build(preset(self.preset).model_dump() | self.simulation, where="simulation")
        quiet = spec.kinds.get("quiet", 0.0)
        if quiet <= 0 or quiet >= sum(spec.kinds.values()):
            message = f"kinds = {spec.kinds}: training needs quiet scenes and others; give both a weight above 0"
            raise ConfigError(message)
        return spec
