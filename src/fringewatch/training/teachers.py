"""Teachers: finished models whose mean answer a network learns beside the labels (distillation).

What a network mistakes for deformation depends on its start values and on its population; the mean of several errs
less, at the price of running them all. A network that learns that mean keeps most of what it gains, at its own price.

Teachers are asked once per sample, not once per step: what deforms does not depend on sign, offset, mirror image, turn
or plane, so their answer to a sample is as good for what augmentation makes of it, and an epoch costs no more than one
without teachers.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from fringewatch.errors import ConfigError
from fringewatch.files import atomic_path, ensure_folder
from fringewatch.models import find_bundle, load_bundle, read_card
from fringewatch.training.cache import CHUNK, average_blocks
from fringewatch.training.codes import decode_codes
from fringewatch.training.module import peak_logit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fringewatch.models import Bundle
    from fringewatch.training.cache import Samples

__all__ = ["Answers", "ask", "identify", "mix"]

_AT_ONCE = 8
"""Samples that a teacher sees at once: layers of more do not fit the processor's caches."""


class Answers(NamedTuple):
    """What teachers say of samples."""

    coverage: NDArray[np.uint8]
    """(N, h, w) probability that a map pixel deforms, from the mean of their map logits; 0 ... 255."""
    label: NDArray[np.float32]
    """(N,) probability that the scene deforms, from the mean of their scene logits."""


def identify(models: Sequence[str]) -> list[str]:
    """Return name, version and the start of the network's SHA-256 of bundles, wherever they lie."""
    cards = [read_card(find_bundle(model)) for model in models]
    return [f"{card.name} {card.version} ({card.sha256[card.files[card.default_precision]][:12]})" for card in cards]


def ask(
    models: Sequence[str],
    samples: Samples,
    *,
    folder: str | Path,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Answers:
    """Return the mean answer of models to samples, from `folder` as far as it lies there already.

    Parameters
    ----------
    models
        Names or folders of bundles with maps, each with an encoding of its own.
    samples
        Their phase counts, and the map pixels of their coverage.
    folder
        Root of all answers. A file there is named by the models and by the phase that was shown to them, so that it
        can never be taken for the answer to something else; a run that was killed goes on where it was.
    workers
        Threads, each of which asks one model at a time.
    progress
        Called with the number of samples of each finished chunk.

    Raises
    ------
    ConfigError
        If a map has larger pixels than the coverage of the samples, or a bundle sees patches of another size only.
    BundleError
        If a bundle cannot be found or loaded.

    Notes
    -----
    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network, arXiv:1503.02531, at temperature 1.
    """
    stride = samples.phase.shape[2] // samples.coverage.shape[2]
    bundles = [load_bundle(model, threads=1) for model in models]
    for bundle in bundles:
        _check(bundle, stride, samples.phase.shape[2])
    who = "\n".join([*sorted(identify(models)), f"stride {stride}"])
    home = ensure_folder(Path(folder) / f"answers-{_digest(who.encode())}")
    starts = range(0, len(samples.label), CHUNK)

    def answer(start: int) -> tuple[int, Answers]:
        codes = samples.phase[start : start + CHUNK]
        path = home / f"{_digest(codes.tobytes())}.npz"
        if not path.exists():
            answers = _mean(bundles, codes, stride)
            with atomic_path(path) as temporary, temporary.open("wb") as handle:
                np.savez(handle, **answers._asdict())
            return start, answers
        with np.load(path) as stored:
            return start, Answers(*(stored[name] for name in Answers._fields))

    for bundle in bundles:
        bundle.session  # noqa: B018  # made here once, not by several threads at the same time
    coverage = np.empty_like(samples.coverage)
    label = np.empty(len(samples.label), np.float32)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for future in as_completed([pool.submit(answer, start) for start in starts]):
            start, answers = future.result()
            where = slice(start, start + len(answers.label))
            coverage[where], label[where] = answers
            if progress:
                progress(len(answers.label))
    return Answers(coverage, label)


def mix(samples: Samples, answers: Answers, share: float) -> tuple[Samples, NDArray[np.float32]]:
    """Return what a network is to learn: samples with the mixed coverage, and the mixed label of each scene.

    Parameters
    ----------
    samples, answers
        The labels and what the teachers say.
    share
        Weight of the latter, 0 to 1.

    Returns
    -------
    Samples, numpy.ndarray
        Coverage (N, h, w) in 0 ... 255; (N,) in [0, 1].
    """
    coverage = np.empty_like(samples.coverage)
    for start in range(0, len(coverage), CHUNK):
        where = slice(start, start + CHUNK)
        said = answers.coverage[where].astype(np.float32)
        coverage[where] = np.rint(said * np.float32(share) + samples.coverage[where] * np.float32(1 - share))
    label = share * answers.label + (1 - share) * samples.label
    return samples._replace(coverage=coverage), label.astype(np.float32)


def _check(bundle: Bundle, stride: int, side_px: int) -> None:
    card = bundle.card
    if stride % card.stride:
        message = (
            f"teachers: {bundle.folder} has map pixels of {card.stride} x {card.stride}, the network to train of "
            f"{stride} x {stride}; take teachers whose map is as fine or finer"
        )
        raise ConfigError(message)
    if card.patch_px not in (None, side_px):
        message = f"teachers: {bundle.folder} sees patches of {card.patch_px} px only; the samples have {side_px} px"
        raise ConfigError(message)


def _mean(bundles: Sequence[Bundle], codes: NDArray[np.uint8], stride: int) -> Answers:
    parts = [_mean_of_few(bundles, codes[start : start + _AT_ONCE], stride) for start in range(0, len(codes), _AT_ONCE)]
    coverage, label = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Answers(coverage, label)


def _mean_of_few(bundles: Sequence[Bundle], codes: NDArray[np.uint8], stride: int) -> Answers:
    phase = decode_codes()[codes]
    maps, peaks = [], []
    for bundle in bundles:
        logits = bundle.logits(bundle.card.encoding(phase))[0][:, 0]
        valid = average_blocks(codes > 0, bundle.card.stride) > 0
        peaks.append(peak_logit(torch.from_numpy(logits), torch.from_numpy(valid.astype(np.float32))).numpy())
        maps.append(average_blocks(logits, stride // bundle.card.stride))
    mean = (np.mean(values, axis=0) for values in (maps, peaks))
    probability, label = (1 / (1 + np.exp(-values)) for values in mean)
    return Answers(np.rint(probability * 255).astype(np.uint8), label.astype(np.float32))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
