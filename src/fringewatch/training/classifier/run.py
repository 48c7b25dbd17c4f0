"""The `train-cnn` command: read patches, build the network, fit, export, calibrate."""

from __future__ import annotations

import csv
import json
import math
import platform
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import lightning
import numpy as np
import torch
from torch import nn

from fringewatch._version import __version__
from fringewatch.encoding import Encoding
from fringewatch.errors import ConfigError, TrainingError
from fringewatch.files import ensure_folder, sole_use, write_text
from fringewatch.networks.registry import Counts, build, count_parameters, smallest_input_px
from fringewatch.progress import say
from fringewatch.training.classifier.batches import trimmed_share
from fringewatch.training.classifier.data import Batcher, Sides, read_arrays
from fringewatch.training.classifier.fit import fit
from fringewatch.training.classifier.memory import advise_on_memory
from fringewatch.training.classifier.module import ClassifierModule, class_weights
from fringewatch.training.classifier.origin import encoding_kind
from fringewatch.training.classifier.settings import HARMLESS, ClassifierConfig
from fringewatch.training.codes import Phases
from fringewatch.training.folder import (
    RESULT,
    SETTINGS,
    WEIGHTS,
    OtherRunError,
    check_folder,
    clear,
    read_history,
    remove_partial,
    settings_to_keep,
)
from fringewatch.training.trainer import check_accelerator, device_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fringewatch.networks.classifier import Classifier
    from fringewatch.training.classifier.data import PatchArrays

__all__ = ["ClassifierConfig", "ClassifierResult", "run"]

_SEGMENTS = 8
"""Of gradient checkpointing: all five networks have 16 to 60 blocks."""
_DATA = "data.json"


class ClassScores(NamedTuple):
    """How patches of one class were told."""

    patches: int
    """That are of the class."""
    right: int
    """Of those, the ones taken for it."""
    taken_for_it: int
    """Patches of any class that were."""

    def describe(self) -> str:
        """Return recall and precision in words."""
        precision = f"{self.right / self.taken_for_it:.2%}" if self.taken_for_it else "of none"
        return f"recall {self.right / self.patches:.2%} of {self.patches:,}, precision {precision}"


class ClassifierResult(NamedTuple):
    """What a training leaves behind; validation figures are of the weights that were kept."""

    bundle: Path | None
    """None where the network was not exported."""
    weights: Path
    history: Path
    encoding: str
    """Kind of the input; see :class:`fringewatch.encoding.Encoding`."""
    epochs_run: int
    best_epoch: int
    """The epoch, from 1, whose weights were kept."""
    seconds_per_epoch: float
    """Median, with validation."""
    images_per_second: float
    """Median over epochs, training alone."""
    peak_memory_bytes: int
    """On a GPU of tensors, on a CPU of the process; 0 where not known."""
    counts: Counts
    n_train: int
    n_validation: int
    val_loss: float
    val_accuracy: float
    val_auroc: float
    val_precision: float
    val_recall: float
    by_class: dict[str, ClassScores]
    """Of the validation patches, by name of the class."""

    def describe(self) -> str:
        """Return the outcome in a few lines for a terminal."""
        rows = (
            ("bundle", self.bundle or "none"),
            ("weights", self.weights),
            ("history", self.history),
            ("patches", f"{self.n_train:,} to train on, {self.n_validation:,} to validate"),
            ("parameters", f"{self.counts.total:,}, of which {self.counts.trainable:,} trained"),
            ("epochs", f"{self.epochs_run}, kept that of epoch {self.best_epoch}"),
            ("speed", f"{self.images_per_second:.1f} images/s, {self.seconds_per_epoch:.1f} s per epoch"),
            ("peak memory", f"{self.peak_memory_bytes / 2**30:.2f} GiB" if self.peak_memory_bytes else "not known"),
            ("accuracy", f"{self.val_accuracy:.2%}"),
            ("AUROC", f"{self.val_auroc:.4f}"),
            ("precision", "no patch flagged" if math.isnan(self.val_precision) else f"{self.val_precision:.2%}"),
            ("recall", f"{self.val_recall:.2%}"),
            # Of two classes the lines above say all.
            *(
                (f"class {name}"[:17], scores.describe())
                for name, scores in self.by_class.items()
                if len(self.by_class) > 2
            ),
        )
        return "\n".join(f"{name + ':':19}{value}" for name, value in rows)


def run(config: ClassifierConfig) -> ClassifierResult:
    """Train a CNN on labelled patches.

    Raises
    ------
    ConfigError
        If a setting does not fit the network, there is nothing to resume, or another run in the folder.
    ProductError
        If the data set cannot be trained on.
    BundleError
        If the weights to start from do not fit.
    TrainingError
        If the loss becomes NaN, memory does not suffice, a class is missing in a split, or a checkpoint to resume from
        was made with other settings or patches.
    OutputError
        If results cannot be written, or another run writes its own there.
    KeyboardInterrupt
        If the user stopped it.
    """
    size_px = config.network_config(2).side_px
    check_accelerator(config.accelerator)
    check_folder(config, config.out, harmless=HARMLESS)
    encoding = Encoding(kind=encoding_kind(config))
    train, validation = read_arrays(
        config.data,
        size_px=size_px,
        fit=config.fit,
        sides=Sides(smallest_input_px(config.network), config.largest_px),
        examples=config.examples,
        validation_share=config.validation_share,
        seed=config.seed,
        workers=config.workers,
        positive=config.positive,
        negative=config.negative,
    )
    _tell_classes(config, train)
    lightning.seed_everything(config.seed, workers=False, verbose=False)
    weights = class_weights(config.class_weights, train.label, len(train.classes))
    network = _build(config, len(train.classes))
    # Nothing of an earlier run is removed before this one can start.
    with sole_use(ensure_folder(config.out)) as out:
        return _run(config, out, network, encoding, weights, train, validation)


def _run(
    config: ClassifierConfig,
    out: Path,
    network: Classifier,
    encoding: Encoding,
    weights: NDArray[np.float32] | None,
    train: PatchArrays,
    validation: PatchArrays,
) -> ClassifierResult:
    remove_partial(out)
    if config.resume:
        _check_data(out, train, validation)
    else:
        clear(out)
    write_text(out / SETTINGS, settings_to_keep(config))
    if not config.resume:
        write_text(out / _DATA, json.dumps(_describe_data(train, validation), indent=1) + "\n")
    counts = count_parameters(network)
    module = ClassifierModule(
        network,
        config,
        Batcher(train, encoding, augment=config.augment, seed=config.seed),
        Batcher(validation, encoding, augment=False),
        weights=weights,
        classes=len(train.classes),
        validation_patches=validation.patches,
    )
    if len(module.buckets) > 1:
        trimmed = trimmed_share(module.buckets, train.sizes_px)
        say(f"{len(module.buckets)} sizes of batches; each epoch trims {trimmed:.0%} of a patch's area, drawn anew")
    with advise_on_memory(config):
        fit(config, out, network, module, resume=config.resume)
    bundle = _export(config, out, network, encoding, train, validation) if config.export else None
    result = _result(config, out, bundle, encoding, counts, train, validation)
    write_text(out / RESULT, json.dumps(_plain(result), indent=1) + "\n")
    return result


def _tell_classes(config: ClassifierConfig, train: PatchArrays) -> None:
    """Say what the network will call deformation; a bundle needs to know it, and a guess could be the wrong way round.

    Raises
    ------
    ConfigError
        If there are two classes, a bundle is wanted, and nothing says which of them deforms.
    """
    if len(train.classes) != 2:
        return
    if train.told:
        say(f"classes: {train.classes[1]!r} is deformation, {train.classes[0]!r} background")
    elif config.export:
        first, second = train.classes
        message = (
            f"{config.data}: nothing says whether {first!r} or {second!r} shows deformation, and a bundle must know; "
            f"add --positive {second} or --positive {first}, or --no-export to go without a bundle"
        )
        raise ConfigError(message)


def _build(config: ClassifierConfig, classes: int) -> Classifier:
    settings = config.network_config(classes)
    if settings.classes is not None and settings.classes < classes:
        message = f"classes = {settings.classes}: the data set has {classes}; give at least as many outputs"
        raise TrainingError(message)
    network = build(settings)
    if config.weights is not None:
        from fringewatch.networks.weights import load_weights

        loaded = load_weights(network, config.weights)
        if loaded.left_out:
            say(f"{config.weights}: left out {', '.join(loaded.left_out)}, which this network has not or not so")
    for part in network.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            # torch states the share of the new statistics.
            part.momentum = 1 - config.norm_momentum
    if config.gradient_checkpointing:
        network.backbone.checkpoint_gradients(_SEGMENTS)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stub lacks the keyword alone


def _describe_data(*parts: PatchArrays) -> dict[str, str]:
    return {split: part.digest for split, part in zip(("train", "validation"), parts, strict=True)}


def _check_data(out: Path, *parts: PatchArrays) -> None:
    path = out / _DATA
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = (
            f"{path}: cannot be read ({error}); it says what the checkpoint was made with: begin anew with "
            "--overwrite, or with another --out"
        )
        raise TrainingError(message) from error
    if before != _describe_data(*parts):
        message = (
            f"{out}: the checkpoint was made with other patches, labels or splits than --data holds now; use another "
            "--out"
        )
        raise OtherRunError(message)


def _export(
    config: ClassifierConfig,
    out: Path,
    network: Classifier,
    encoding: Encoding,
    train: PatchArrays,
    validation: PatchArrays,
) -> Path | None:
    if len(train.classes) != 2:
        say(f"no bundle: detection knows deformation and background, and the set has {', '.join(train.classes)}")
        return None
    from fringewatch.training.export import Validation, export_classifier

    return export_classifier(
        network.to(device_of(config.accelerator)),
        out / config.bundle_name,
        network=config.network_config(len(train.classes)),
        name=config.bundle_name,
        encoding=encoding,
        validation=Validation(Phases(validation.codes), validation.label),
        crop_px=_crop_px(config, train),
        false_alarm_rate=config.false_alarm_rate,
        description=config.description
        or f"{network.backbone.title} trained on patches as in the study of 2019 by fringewatch train-cnn.",
        training=_describe_training(config, train, validation),
    )


def _crop_px(config: ClassifierConfig, train: PatchArrays) -> tuple[int, int] | None:
    if config.fit != "none":
        return None
    return smallest_input_px(config.network), int(train.sizes_px.max())


def _describe_training(config: ClassifierConfig, train: PatchArrays, validation: PatchArrays) -> dict[str, Any]:
    kept = {"out", "data", "workers", "resume", "overwrite", "description", "export", "weights"}
    return {
        "settings": config.model_dump(mode="json", exclude=kept),
        # A path says more of the machine than of the weights.
        "started_from": Path(config.weights).name if config.weights else "drawn values",
        "patches": {
            split: dict(zip(part.classes, np.bincount(part.label, minlength=len(part.classes)).tolist(), strict=True))
            for split, part in (("train", train), ("validation", validation))
        },
        "sites": {
            split: len({patch.site for patch in part.patches if patch.site})
            for split, part in (("train", train), ("validation", validation))
        },
        "data_sha256": _describe_data(train, validation),
        "versions": {"fringewatch": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _result(
    config: ClassifierConfig,
    out: Path,
    bundle: Path | None,
    encoding: Encoding,
    counts: Counts,
    train: PatchArrays,
    validation: PatchArrays,
) -> ClassifierResult:
    history = read_history(out / "history.csv")
    if not history:
        message = f"{out / 'history.csv'}: is missing or empty; begin anew with --overwrite, or with another --out"
        raise TrainingError(message)
    kept = history[-1]
    if config.patience is not None and any(math.isfinite(row["val_loss"]) for row in history):
        kept = min(history, key=lambda row: row["val_loss"])
    return ClassifierResult(
        bundle=bundle,
        weights=out / WEIGHTS,
        history=out / "history.csv",
        encoding=encoding.kind,
        epochs_run=len(history),
        best_epoch=int(kept["epoch"]) + 1,
        seconds_per_epoch=statistics.median(row["seconds"] for row in history),
        images_per_second=statistics.median(row["images_per_second"] for row in history),
        peak_memory_bytes=int(max(row["peak_memory_bytes"] for row in history)),
        counts=counts,
        n_train=len(train.label),
        n_validation=len(validation.label),
        val_loss=kept["val_loss"],
        val_accuracy=kept["val_accuracy"],
        val_auroc=kept["val_auroc"],
        val_precision=kept["val_precision"],
        val_recall=kept["val_recall"],
        by_class=_by_class(out / "validation.csv", validation.classes),
    )


def _by_class(path: Path, classes: Sequence[str]) -> dict[str, ClassScores]:
    """Count the answers that the kept weights gave to the validation patches; none where they were not written."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        said = [(int(row["label"]), int(row["predicted"])) for row in csv.DictReader(handle)]
    return {
        name: ClassScores(
            sum(truth == number for truth, _ in said),
            said.count((number, number)),
            sum(predicted == number for _, predicted in said),
        )
        for number, name in enumerate(classes)
    }


def _plain(result: ClassifierResult) -> dict[str, Any]:
    """Return a result for JSON, which has neither NaN nor infinity: null instead."""
    values = {name: str(value) if isinstance(value, Path) else value for name, value in result._asdict().items()}
    values["counts"] = result.counts._asdict()
    values["by_class"] = {name: scores._asdict() for name, scores in result.by_class.items()}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
