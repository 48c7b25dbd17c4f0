"""The settings of `fringewatch study`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from fringewatch.config import Config
from fringewatch.errors import ConfigError

__all__ = ["StudyConfig", "list_presets", "load_preset"]


class StudyConfig(Config):
    """Train the rows of a study one after the other, and write its table: a preset's rows or those of a YAML file."""

    preset: str = Field(
        "",
        description="Study to run: `table`, `table-cpu`, `frozen`, `learning-rates`, `optimisers`, `batch-size`, "
        "`activations`, `spp`, `transfer`, `pretrain`, `smoke`. What else is given here takes the place of what it "
        "says.",
        json_schema_extra={"positional": True},
    )
    out: Path = Field(Path("runs/study"), description="Folder for the table, the page, and a folder per row.")
    title: str = Field("", description="Heading of the table.")
    caption: str = Field("", description="What to know about the table, printed under its heading.")
    sets: dict[str, Any] = Field(
        default_factory=dict,
        description="Data sets by name; each is a patch set's folder, or settings of `fringewatch simulate` to make "
        "one with. The last one is used by rows that name none.",
    )
    common: dict[str, Any] = Field(
        default_factory=dict, description="Settings of `fringewatch train-cnn` that all rows share."
    )
    rows: dict[str, Any] = Field(
        default_factory=dict,
        description="Rows by name: settings of `fringewatch train-cnn` that differ from the common ones; lists are "
        "multiplied out into rows of their own. `data` names a data set, `weights: row:NAME` starts from a row above, "
        "`published: NAME` puts a row of the 2019 table beside it.",
    )
    seeds: tuple[int, ...] = Field(
        (), description="Seeds to train each row with; several give intervals over seeds. If not given 0."
    )
    data: Path | None = Field(None, description="Patch set for the rows, in place of the study's own last one.")
    weights_from: Path | None = Field(
        None,
        description="Weights in place of `imagenet`: the folder of a study that trained the networks from nothing, "
        "or a folder of bundles or weight files named after them, such as `resnet50/` or `resnet50.weights.h5`.",
    )
    count: int | None = Field(
        None, ge=16, description="Patches in each simulated set, in place of what the study says."
    )
    size_px: int | None = Field(
        None, ge=32, description="Side of simulated patches and of the networks' input, likewise."
    )
    only: tuple[str, ...] = Field(
        (), description="Rows to run, with * and ?; those that they start from are run too. If not given all."
    )
    set: tuple[str, ...] = Field(
        (), description="KEY=VALUE settings of `fringewatch train-cnn` for all rows, over their own: epochs=3."
    )

    @field_validator("seeds")
    @classmethod
    def _check_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            message = "one seed is given twice; a training repeated with its own seed tells nothing of its error"
            raise ValueError(message)
        return seeds


def list_presets() -> tuple[str, ...]:
    """Return the names of the studies that come with the package."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir() if path.name.endswith(".yaml")))


@cache
def load_preset(name: str) -> StudyConfig:
    """Return a study that comes with the package.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in list_presets():
        message = (
            f"preset {name!r}: there is no such study; choose one of {', '.join(list_presets())}, or give your own "
            "with --config study.yaml"
        )
        raise ConfigError(message)
    with (_folder() / f"{name}.yaml").open(encoding="utf-8") as handle:
        return StudyConfig.build(_yaml(handle.read()), where=name)


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _folder() -> Any:
    return files("fringewatch.study") / "presets"
