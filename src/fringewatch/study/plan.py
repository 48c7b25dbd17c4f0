"""From the settings of a study to the list of its trainings: preset and file merged, lists multiplied out, checked."""

from __future__ import annotations

import copy
import difflib
import fnmatch
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from fringewatch.errors import ConfigError
from fringewatch.networks.registry import STUDY
from fringewatch.simulate.settings import SimulateConfig
from fringewatch.study.records import RECORD, read_record
from fringewatch.study.settings import StudyConfig, load_preset
from fringewatch.training.classifier.settings import ClassifierConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fringewatch.networks.registry import StudyRow

__all__ = ["Plan", "RowPlan", "make_plan"]

OWN_KEYS = {"data", "out", "seed", "resume", "overwrite", "name"}
"""Settings of a training that the study itself gives."""

_ROW = "row:"


class RowPlan(NamedTuple):
    """A row of the table before it is trained."""

    name: str
    folder: str
    """Its name in a form that every file system takes."""
    data: str
    """Name of its data set."""
    settings: dict[str, Any]
    """Of :class:`~fringewatch.training.classifier.ClassifierConfig`, without those that the study gives."""
    starts_from: str | None
    """The row whose weights it starts from."""
    published: StudyRow | None

    def train_config(self, *, data: Path, out: Path, seed: int, weights: str | None, resume: bool) -> ClassifierConfig:
        """Return the settings of one training; `weights` takes the place of a row's name."""
        # What may be gone on with is for the study to say.
        own = {"data": data, "out": out, "seed": seed, "resume": resume, "overwrite": not resume}
        start = {} if weights is None else {"weights": weights}
        return ClassifierConfig.build(self.settings | start | own, where=f"row {self.name!r}")


class Plan(NamedTuple):
    """A study ready to run."""

    title: str
    caption: str
    sets: dict[str, Path | SimulateConfig]
    rows: tuple[RowPlan, ...]
    """Those to train; a row stands after the one it starts from."""
    seeds: tuple[int, ...]
    all_rows: tuple[RowPlan, ...]
    """With those that ``only`` leaves out."""


def make_plan(config: StudyConfig) -> Plan:
    """Merge a study's settings with its preset, multiply lists out and check every row.

    Raises
    ------
    ConfigError
        If a preset, row, data set or setting is unknown or not allowed; the message names the row.
    """
    base = load_preset(config.preset) if config.preset else StudyConfig()
    given_rows = config.rows or base.rows
    if not given_rows:
        message = "rows: none are given; name a preset (fringewatch study table) or list rows in a --config file"
        raise ConfigError(message)
    raw_sets = base.sets | config.sets
    if config.data is not None:
        # The last set is the study's own; those before it only serve to make weights to start from.
        last = next(reversed(raw_sets)) if raw_sets else "data"
        raw_sets |= {last: str(config.data)}
    if not raw_sets:
        message = "sets: no data set is given; name a folder of labelled patches with --data, or simulate one in `sets`"
        raise ConfigError(message)
    sets = {name: _data_set(name, value, config) for name, value in raw_sets.items()}
    overrides = _overrides(config)
    rows: list[RowPlan] = []
    for name, values in given_rows.items():
        own = _mapping(values, f"row {name!r}")
        # The row's own keys first: its lists are multiplied out, and named, in the order they are written in.
        merged = dict.fromkeys(own) | base.common | config.common | own | overrides
        rows += _rows(str(name), merged, config, sets, [row.name for row in rows])
    _check_names(rows)
    return Plan(
        title=config.title or base.title or "Study",
        caption=" ".join((config.caption or base.caption).split()),
        sets=sets,
        rows=_chosen(rows, config.only),
        all_rows=tuple(rows),
        seeds=config.seeds or base.seeds or (0,),
    )


def _data_set(name: str, value: Any, config: StudyConfig) -> Path | SimulateConfig:
    if isinstance(value, str | Path):
        return Path(value).expanduser()
    values = _mapping(value, f"sets.{name}")
    changed = {"count": config.count, "size_px": config.size_px}
    return SimulateConfig.build(
        values | {key: number for key, number in changed.items() if number is not None}, where=f"sets.{name}"
    )


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        message = f"{where}: holds {value!r}; expected a mapping of settings"
        raise ConfigError(message)
    return value


def _overrides(config: StudyConfig) -> dict[str, Any]:
    found: dict[str, Any] = {} if config.size_px is None else {"input_size_px": config.size_px}
    for text in config.set:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            message = f"--set {text}: expected KEY=VALUE, for example --set epochs=3"
            raise ConfigError(message)
        found[key.strip().replace("-", "_")] = yaml.safe_load(value)
    return found


def _rows(
    name: str, values: dict[str, Any], config: StudyConfig, sets: dict[str, Path | SimulateConfig], before: list[str]
) -> Iterable[RowPlan]:
    """Multiply a row's lists out; each result is named by what the lists gave it."""
    values = copy.deepcopy(values)
    data = str(values.pop("data", next(reversed(sets))))
    if data not in sets:
        message = f"row {name!r}: data = {data!r}: no such data set; sets has {', '.join(sets)}"
        raise ConfigError(message)
    published = _published(name, values.pop("published", None))
    lists = {key: value for key, value in values.items() if _is_grid(key, value)}
    if empty := [key for key, value in lists.items() if not value]:
        message = f"row {name!r}: {empty[0]} is an empty list; give at least one value, or leave the key out"
        raise ConfigError(message)
    for combination in itertools.product(*lists.values()):
        drawn = dict(zip(lists, combination, strict=True))
        title = ", ".join([name, *(_short(key, value) for key, value in drawn.items())])
        settings = values | drawn
        start = _start(title, settings, config, before)
        row = RowPlan(title, _slug(title), data, settings, start, published)
        # Whatever is wrong with a row is said before the first one is trained.
        if unknown := sorted(OWN_KEYS & set(settings)):
            message = f"row {title!r}: {unknown[0]} is given by the study for all rows; leave it out"
            raise ConfigError(message)
        row.train_config(
            data=Path("data"), out=Path("out"), seed=0, weights=None if start is None else "imagenet", resume=False
        )
        yield row


def _published(name: str, title: Any) -> StudyRow | None:
    if title is None:
        return None
    for row in STUDY:
        if row.title == title:
            return row
    message = f"row {name!r}: published = {title!r}: no such row; expected one of {', '.join(r.title for r in STUDY)}"
    raise ConfigError(message)


def _is_grid(key: str, value: Any) -> bool:
    """Whether a value is a list of choices, not one choice that is itself a list, such as two layer sizes."""
    if not isinstance(value, list):
        return False
    field = ClassifierConfig.model_fields.get(key)
    takes_list = field is not None and "tuple" in str(field.annotation)
    return not takes_list or any(isinstance(item, list) for item in value)


def _start(name: str, settings: dict[str, Any], config: StudyConfig, before: list[str]) -> str | None:
    """Return the row that a row starts from; ``imagenet`` is replaced where other weights are at hand."""
    weights = settings.get("weights")
    if isinstance(weights, str) and weights.startswith(_ROW):
        source = weights.removeprefix(_ROW).strip()
        if source not in before:
            near = difflib.get_close_matches(source, before, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"rows above it: {', '.join(before) or 'none'}"
            message = f"row {name!r}: weights = {weights!r}: no row of that name stands above it; {hint}"
            raise ConfigError(message)
        if config.weights_from is None:
            return source
    if config.weights_from is not None and weights is not None:
        settings["weights"] = str(_own_weights(config.weights_from, str(settings.get("network", ""))))
    return None


def _own_weights(folder: Path, network: str) -> Path:
    """Return a network's weights in a folder of bundles or weight files, or in that of a study."""
    names = (network, f"{network}.weights.h5", f"{network}.h5", f"{network}.pt")
    for name in names:
        if (folder / name).exists():
            return folder / name
    for record in sorted(folder.glob(f"rows/*/seed-*/{RECORD}")):
        found = read_record(record.parent)
        if found is None or found.outcome is None or found.settings.get("network") != network:
            continue
        # Those trained from nothing, whole: what a frozen part holds came from elsewhere.
        if found.settings.get("weights") is None and found.settings.get("freeze") is None:
            return record.parent / found.outcome.weights
    message = (
        f"{folder}: holds no weights of {network}; expected one of {', '.join(names)} in it, or the folder of a study "
        "that trained it from nothing (fringewatch study pretrain)"
    )
    raise ConfigError(message)


def _check_names(rows: list[RowPlan]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.folder in seen:
            message = f"rows {seen[row.folder]!r} and {row.name!r}: their folders would be the same; rename one"
            raise ConfigError(message)
        seen[row.folder] = row.name


def _chosen(rows: list[RowPlan], patterns: tuple[str, ...]) -> tuple[RowPlan, ...]:
    """Return the rows that match a pattern and the rows that these start from; without patterns all."""
    if not patterns:
        return tuple(rows)
    for pattern in patterns:
        if not any(fnmatch.fnmatch(row.name.casefold(), pattern.casefold()) for row in rows):
            message = f"--only {pattern}: matches no row; rows are {', '.join(repr(row.name) for row in rows)}"
            raise ConfigError(message)
    wanted: set[str] = set()
    for row in reversed(rows):
        if row.name in wanted or any(fnmatch.fnmatch(row.name.casefold(), p.casefold()) for p in patterns):
            wanted |= {row.name} if row.starts_from is None else {row.name, row.starts_from}
    return tuple(row for row in rows if row.name in wanted)


def _short(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    name = "lr" if key == "learning_rate" else key.replace("_", " ")
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def _slug(name: str) -> str:
    # A full stop is kept between digits: 0.001 and 0.01 stay legible.
    return re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-.") or "row"
