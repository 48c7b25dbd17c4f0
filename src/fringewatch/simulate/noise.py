"""Real quiet phase as background: a folder of patches without deformation, split by site."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.errors import ProductError
from fringewatch.patches import read_phase

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RealNoise"]


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

    def __len__(self) -> int:
        return len(self.phases)

    def draw(self, rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray[np.float32], str]:
        """Return a random crop (mirrored where the patch is smaller), randomly turned, and the patch's name."""
        index = int(rng.integers(len(self.phases)))
        phase = self.phases[index]
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
        return np.ascontiguousarray(crop), self.names[index]


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
