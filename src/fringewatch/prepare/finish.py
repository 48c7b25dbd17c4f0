"""From the patches of all scenes to a data set: split by site, classes balanced by augmentation."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from fringewatch.files import ensure_folder
from fringewatch.patches import Box, Patch, read_phase, split_by_site, write_patch
from fringewatch.patches.manifest import read_box
from fringewatch.prepare.balance import Copy, plan_copies
from fringewatch.progress import track

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fringewatch.prepare.journal import Record
    from fringewatch.prepare.settings import PrepareConfig

__all__ = ["Finished", "finish"]

_FOLDER = "augmented"


class Finished(NamedTuple):
    """The data set."""

    patches: list[Patch]
    """Originals in the order of the scenes, then augmented copies."""
    counts: dict[str, dict[str, int]]
    """By class, number of patches for ``train``, ``copies`` and ``validation``."""
    warnings: list[str]


def finish(config: PrepareConfig, records: Sequence[Record], classes: Sequence[str]) -> Finished:
    """Split the patches and write augmented copies.

    Parameters
    ----------
    config
        Settings.
    records
        Of all scenes, in the order of the inputs.
    classes
        Name of each label.

    Raises
    ------
    OutputError
        If a copy cannot be written.
    """
    labels = {name: label for label, name in enumerate(classes)}
    patches = [_patch(columns, labels, config.out) for record in records for columns in record.patches]
    patches = _split(patches, config)
    training = [patch for patch in patches if patch.split == "train"]
    plan = plan_copies(training, seed=config.seed) if config.balance else []
    copies = _write_copies(plan, config.out)
    counts = {
        name: {
            "train": sum(patch.label == label for patch in training),
            "copies": sum(copy.label == label for copy in copies),
            "validation": sum(patch.label == label and patch.split == "validation" for patch in patches),
        }
        for label, name in enumerate(classes)
    }
    return Finished([*patches, *copies], counts, _warnings(patches, records, classes, config))


def _patch(columns: dict[str, str], labels: dict[str, int], out: Path) -> Patch:
    return Patch(
        path=out / columns["file"],
        label=labels[columns["label"]],
        site=columns["site"],
        group=columns.get("scene_group", ""),
        split=columns.get("split", ""),
        box=read_box(columns, columns["file"]),
        columns=columns,
    )


def _split(patches: Sequence[Patch], config: PrepareConfig) -> list[Patch]:
    if all(patch.split for patch in patches):
        return list(patches)
    if config.validation == 0:
        return [dataclasses.replace(patch, split=patch.split or "train") for patch in patches]
    units = patches
    if config.split_by == "scene":
        units = [dataclasses.replace(patch, site=patch.group) for patch in patches]
    split = split_by_site(units, validation=config.validation, seed=config.seed)
    return [dataclasses.replace(patch, split=unit.split) for patch, unit in zip(patches, split, strict=True)]


def _write_copies(plan: Sequence[Copy], out: Path) -> list[Patch]:
    stale = set((out / _FOLDER).rglob("*_copy*.png"))
    copies = []
    with track("augmenting", total=len(plan)) as advance:
        for patch, number, augmentation in plan:
            word = patch.columns["label"]
            path = ensure_folder(out / _FOLDER / word) / f"{patch.path.stem}_copy{number}.png"
            stale.discard(path)
            phase = read_phase(patch.path)
            write_patch(path, augmentation(phase))
            told = {name: str(int(value)) for name, value in augmentation._asdict().items()}
            copies.append(
                dataclasses.replace(
                    patch,
                    path=path,
                    box=None if patch.box is None else Box(*augmentation.box(patch.box, phase.shape)),
                    columns={**patch.columns, "augmented_from": patch.columns["file"], **told},
                )
            )
            advance(1)
    for path in stale:
        # Copies of an earlier run that was balanced otherwise.
        path.unlink(missing_ok=True)
    return copies


def _why_none(records: Sequence[Record], config: PrepareConfig) -> str:
    """Say what kept every patch from being made, and what helps."""
    states = {record.row.status for record in records}
    if "ok" not in states:
        if states == {"unlabelled"}:
            return "no scene has a label; give --labels, or --unlabelled none if they show no deformation"
        return "no scene could be read that has a label; the reasons are in prepare.csv"
    if config.crops:
        return "no pattern was cut out of the scenes with a label; see prepare.csv, and --min-score"
    if config.class_folders:
        return "no picture could be used; the reasons are in prepare.csv"
    return "no window has strong edges and a label; see prepare.csv, and --high or --min-strong-px"


def _warnings(
    patches: Sequence[Patch], records: Sequence[Record], classes: Sequence[str], config: PrepareConfig
) -> list[str]:
    if not patches:
        return [f"no patches: {_why_none(records, config)}"]
    found = []
    held = Counter(patch.label for patch in patches)
    if len(held) == 1:
        name = classes[next(iter(held))]
        found.append(f"all patches are {name!r}: a network needs a second class; add scenes that show it")
    if placeless := sum(not patch.site and not patch.group for patch in patches):
        found.append(
            f"{placeless} pictures name no place, so that each is one of its own: validation flatters if several are "
            "of one; put those of a place into a folder of its name below the class"
        )
    sites: dict[str, set[str]] = defaultdict(set)
    for patch in patches:
        if patch.site:
            sites[patch.site].add(patch.split)
    if shared := sorted(site for site, splits in sites.items() if len(splits) > 1 and config.split_by == "site"):
        found.append(f"{len(shared)} sites are in several splits ({', '.join(shared[:3])}): validation flatters")
    found += _lacking(patches, classes, config)
    if small := sum(record.row.message.startswith("smaller than") for record in records):
        found.append(f"{small} scenes are smaller than the windows and were filled up with no data; see --size-px")
    return found


def _lacking(patches: Sequence[Patch], classes: Sequence[str], config: PrepareConfig) -> list[str]:
    """Say what training or validation lacks, why, and what helps."""
    if not config.validation:
        return []
    unit, more = ("scene", "other scenes") if config.split_by == "scene" else ("place", "scenes of other places")
    # As the split has it, see patches.split_by_site.
    places: dict[int, set[str]] = defaultdict(set)
    splits: dict[int, set[str]] = defaultdict(set)
    for patch in patches:
        name = patch.group if unit == "scene" else patch.site
        places[patch.label].add(name or patch.group or str(patch.path))
        splits[patch.label].add(patch.split)
    single = [repr(classes[label]) for label, names in places.items() if len(names) == 1]
    if any("validation" in split for split in splits.values()):
        return [
            f"no {classes[label]!r} in {part}"
            + (f": all of it is of one {unit}" if len(places[label]) == 1 else f"; add {more} that show it")
            for label, split in splits.items()
            for part in ("train", "validation")
            if part not in split
        ]
    lacking = "nothing is left for validation: "
    way = "" if unit == "scene" else ", or take --split-by scene, which flatters validation"
    every = set().union(*places.values())
    if len(every) == 1:
        named = "; add another" if unit == "scene" else f" ({every.pop()}); add scenes of another{way}"
        return [f"{lacking}all patches are of one {unit}{named}"]
    if all(patch.columns.get("split") for patch in patches):
        return [f"{lacking}all pictures lie below train/; move those of some places to validation/"]
    if not single:
        return [f"{lacking}no {unit} can be spared; add {more}{way}"]
    if len(single) == 1:
        return [f"{lacking}{single[0]} is of one {unit} alone; add {more} that show it{way}"]
    named = f"{', '.join(single[:-1])} and {single[-1]}"
    return [f"{lacking}{named} are each of one {unit} alone; add {more} that show them{way}"]
