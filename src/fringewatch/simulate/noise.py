"""Real quiet phase as background: a folder of patches without deformation, split by site."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.conventions import wrap
from fringewatch.errors import ProductError
from fringewatch.patches import read_phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RealNoise"]

_TWICE_SHARE = 0.2


class RealNoise:
    """Quiet real patches, loaded once, drawn by index.

    Parameters
    ----------
    folder
        PNG patches, see :func:`fringewatch.patches.read_phase`; with a ``manifest.csv`` whose columns ``file`` and
        ``site`` tell which patches belong together. Without one, the part of the name before ``__`` is the site.
    fold
        ``"train"`` or ``"holdout"``: sites are dealt into the two by a fixed hash, so no site is in both.
    holdout_share
        Share of the sites that go to the hold-out.
    """

    def __init__(self, folder: str | Path, *, fold: str = "train", holdout_share: float = 0.25) -> None:
        folder = Path(folder)
        files = sorted(folder.glob("*.png"))
        if not files:
            message = f"{folder}: holds no PNG patches; expected quiet patches as 8-bit grey (+ alpha) pictures"
            raise ProductError(message)
        sites = _sites(folder)
        chosen = [(file, sites.get(file.name, file.name.split("__")[0])) for file in files]
        chosen = [(file, site) for file, site in chosen if _is_holdout(site, holdout_share) == (fold == "holdout")]
        if not chosen:
            message = f"{folder}: no site falls into the fold {fold!r}; give more sites or another holdout share"
            raise ProductError(message)
        self.names = [file.name for file, _ in chosen]
        self.sites = [site for _, site in chosen]
        self.phases = [read_phase(file) for file, _ in chosen]
        for phase in self.phases:
            phase.flags.writeable = False

    def __len__(self) -> int:
        return len(self.phases)

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, int], *, superposed_share: float = 0.0
    ) -> tuple[NDArray[np.float32], str]:
        """Draw a background and the name of the patch that it comes from.

        Parameters
        ----------
        rng
            Source of randomness.
        shape
            Rows and columns; a smaller patch is mirrored at its edges.
        superposed_share
            Share of backgrounds that are the sum of two patches, or twice one: the phase of a pair is the sum of those
            of two shorter ones. Many more backgrounds come from a few patches in this way.

        Returns
        -------
        phase, name
            (H, W) float32, wrapped radians, NaN where either patch has no data; a random crop, randomly turned and of
            random sign.
        """
        index = int(rng.integers(len(self.phases)))
        phase = self._lay(rng, self.phases[index], shape)
        if rng.random() < superposed_share:
            # Twice the same is what a steep cone looks like on a worse day; noise is doubled with it, so seldom.
            twice = rng.random() < _TWICE_SHARE
            other = phase if twice else self._lay(rng, self.phases[int(rng.integers(len(self.phases)))], shape)
            phase = wrap(phase + other)
        return phase, self.names[index]

    @staticmethod
    def _lay(rng: np.random.Generator, phase: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        pads = [max(0, want - have) for want, have in zip(shape, phase.shape, strict=True)]
        if any(pads):
            phase = np.pad(phase, [(pad // 2, pad - pad // 2) for pad in pads], mode="symmetric")
        row = int(rng.integers(phase.shape[0] - shape[0] + 1))
        col = int(rng.integers(phase.shape[1] - shape[1] + 1))
        crop = phase[row : row + shape[0], col : col + shape[1]]
        if shape[0] == shape[1]:
            crop = np.rot90(crop, int(rng.integers(4)))
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        # The sign of real noise carries no information on deformation: it is half of an augmentation for free.
        if rng.random() < 0.5:
            crop = -crop
        # A copy always: what is drawn is written to, and the patches serve all later draws.
        return np.array(crop, order="C")


def _sites(folder: Path) -> dict[str, str]:
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as handle:
        return {row["file"]: row["site"] for row in csv.DictReader(handle) if "file" in row and "site" in row}


def _is_holdout(site: str, share: float) -> bool:
    import hashlib

    digest = hashlib.sha256(site.encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < share
