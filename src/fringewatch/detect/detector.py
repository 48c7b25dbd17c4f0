"""From an interferogram to its probability map, its detections and its score."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from fringewatch.errors import ConfigError, ProductError
from fringewatch.interferogram import pixel_size_m, validate
from fringewatch.models import load_bundle
from fringewatch.models.bundle import DEFAULT_BUNDLE
from fringewatch.regions import describe_regions, pick_regions, rows_of
from fringewatch.scan import patch_size, scan_many, scan_windows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import geopandas as gpd
    from numpy.typing import NDArray

    from fringewatch.models import Bundle, Card
    from fringewatch.models.card import Precision
    from fringewatch.regions import Detections, Region
    from fringewatch.scan import Scan

__all__ = ["Detector", "Examination"]

_TERRAIN_CORRELATION = 0.9
"""Magnitude of the phase-height correlation from which a detection is called terrain-like."""


class Examination:
    """One scene after one pass of the network; what is asked of it is computed once.

    Parameters
    ----------
    interferogram
        The scene.
    scan
        Its map.
    card
        The model's card.
    threshold
        Score from which the scene is flagged.
    """

    def __init__(self, interferogram: xr.Dataset, scan: Scan, card: Card, threshold: float) -> None:
        self.interferogram = interferogram
        self.scan = scan
        self.card = card
        self.threshold = threshold
        self.level_score: float | None = None
        """Score without the scene's height trend; None where that was not asked for."""

    def __repr__(self) -> str:
        name = self.interferogram.attrs.get("name") or self.interferogram.attrs.get("source", "scene")
        return f"<Examination of {name}: score {self.score:.3f}, {'flagged' if self.flagged else 'quiet'}>"

    def checked(self) -> Examination:
        """Return the examination of a scene that has data.

        Raises
        ------
        ProductError
            If it has none.
        """
        if self.scan.valid.any():
            return self
        source = self.interferogram.attrs.get("source", "interferogram")
        message = f"{source}: every pixel is no data (NaN or the nodata value); nothing to look at"
        raise ProductError(message)

    def with_interferogram(self, interferogram: xr.Dataset) -> Examination:
        """Return the same map with a dataset that knows more of the scene, such as its coherence."""
        other = Examination(interferogram, self.scan, self.card, self.threshold)
        # Told by the map.
        other.__dict__ |= {"_picked": self._picked, "score": self.score, "level_score": self.level_score}
        return other

    def with_note(self, note: str) -> Examination:
        """Return the same examination with one more sentence among its notes."""
        said = [*self.interferogram.attrs.get("assumptions", ()), note]
        other = self.with_interferogram(self.interferogram.assign_attrs(assumptions=said))
        if "detections" in self.__dict__:
            other.__dict__["detections"] = self.detections
        return other

    @cached_property
    def score(self) -> float:
        """Calibrated probability, 0 to 1, that the scene shows deformation."""
        return float(self.card.scene_calibration(np.asarray(self.scan.scene_logit, np.float32)))

    @property
    def flagged(self) -> bool:
        """Whether the score reaches the threshold."""
        return self.score >= self.threshold

    @cached_property
    def max_probability(self) -> float:
        """Highest calibrated probability of the map, 0 to 1."""
        # Calibration is monotonic: one value instead of a map.
        highest = np.max(self.scan.logits, where=self.scan.valid, initial=np.float32(-np.inf))
        return float(self.card.calibration(np.asarray(highest)))

    @cached_property
    def regions(self) -> gpd.GeoDataFrame:
        """Detections, best first; see :func:`fringewatch.regions.find_regions`."""
        return self.detections.table()

    @cached_property
    def detections(self) -> Detections:
        """The same as plain rows."""
        return describe_regions(self._picked, self.scan, self.interferogram, self.card, threshold=self.threshold)

    @property
    def rows(self) -> slice:
        """Rows of the scene in which the detections of a flagged scene lie; told by the map alone."""
        return rows_of(self._picked, self.scan)

    @cached_property
    def _picked(self) -> list[Region]:
        return pick_regions(self.scan, self.card, threshold=self.threshold)

    @cached_property
    def notes(self) -> list[str]:
        """Sentences on what the reader assumed, what lies outside the training and what may be no deformation."""
        return [
            *self.interferogram.attrs.get("assumptions", ()),
            *_outside_training(self.interferogram, self.card),
            # A scene has a region exactly where it is flagged.
            *(_terrain_like(self.detections) if self.flagged else ()),
        ]

    def probability_window(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return calibrated probability in a window of the scene (explicit bounds); NaN where there is no data."""
        phase = np.asarray(self.interferogram["phase"][rows, columns].values)
        return self._probability(phase, rows, columns)

    @cached_property
    def probability(self) -> xr.DataArray:
        """Probability on the interferogram's grid: float32 in [0, 1], NaN = no data; lazy where the phase is."""
        phase = self.interferogram["phase"]
        if isinstance(phase.data, np.ndarray):
            height, width = self.scan.shape
            values = self._probability(phase.data, slice(0, height), slice(0, width))
        else:
            values = phase.data.map_blocks(self._block, dtype=np.float32, meta=np.empty((0, 0), np.float32))
        attrs = {
            "long_name": "probability of deformation",
            "units": "1",
            "model": self.card.name,
            "model_version": self.card.version,
        }
        return xr.DataArray(values, coords=phase.coords, dims=phase.dims, name="probability", attrs=attrs)

    def _block(self, phase: NDArray[np.float32], block_info: object = None) -> NDArray[np.float32]:
        # dask's contract for functions that ask where their block lies.
        location: list[tuple[int, int]] = block_info[0]["array-location"]  # type: ignore[index]
        return self._probability(phase, slice(*location[0]), slice(*location[1]))

    def _probability(self, phase: NDArray[np.float32], rows: slice, columns: slice) -> NDArray[np.float32]:
        values = self.card.calibration(self.scan.logits_window(rows, columns))
        values[~np.isfinite(phase)] = np.nan
        return values


class Detector:
    """Finds deformation in interferograms.

    Parameters
    ----------
    model
        Name or folder of a model bundle.
    precision
        ``"int8"``, fastest on processors, or ``"float32"``; None takes the one that the model's card names.
    threads
        Threads of one inference; None takes every core.
    threshold
        Score from which a scene is flagged, 0 to 1; None takes the model's own, whose false-alarm rate its card states.
    windows
        Whether a classifier scores every window by itself; see :func:`fringewatch.scan.scan_windows`.

    Raises
    ------
    BundleError
        If there is no such model, or it is damaged.
    ConfigError
        If the threshold is not between 0 and 1, or windows are asked of a model that has none.

    Examples
    --------
    >>> import fringewatch as fw
    >>> ifg = fw.open_interferogram("20180601_20180613.geo.diff_pha.tif")  # doctest: +SKIP
    >>> fw.Detector().detect(ifg)[["score", "area_km2", "peak_to_peak_los_cm"]]  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_BUNDLE,
        *,
        precision: Precision | None = None,
        threads: int | None = None,
        threshold: float | None = None,
        windows: bool = False,
    ) -> None:
        try:
            allowed = threshold is None or 0 <= threshold <= 1
        except TypeError:
            allowed = False
        if not allowed:
            message = f"threshold = {threshold!r}: expected a score between 0 and 1, or None for the model's own"
            raise ConfigError(message)
        self.bundle: Bundle = load_bundle(model, precision=precision, threads=threads)
        self.windows = windows
        if windows:
            # Before the first scene: a model without a patch size is one error, not one per file.
            patch_size(self.bundle)
        self.threshold = self.card.thresholds.scene if threshold is None else threshold

    def __repr__(self) -> str:
        return f"<Detector {self.card.name} {self.card.version} ({self.bundle.precision}), from {self.threshold:.3f}>"

    @property
    def card(self) -> Card:
        """The model's card."""
        return self.bundle.card

    def examine(self, interferogram: xr.Dataset, *, tile_px: int | None = None) -> Examination:
        """Run the network once and return everything that can be asked of the scene.

        Parameters
        ----------
        interferogram
            See :mod:`fringewatch.interferogram`; lazy ones are read in parts.
        tile_px
            See :func:`fringewatch.scan.scan`; windows need none.

        Raises
        ------
        ProductError
            If it is no dataset, breaks the schema or holds no data.
        """
        (examination,) = self.examine_many([interferogram], tile_px=tile_px)
        return examination.checked()

    def examine_many(
        self, interferograms: Sequence[xr.Dataset], *, tile_px: int | None = None, checked: bool = False
    ) -> list[Examination]:
        """Run the network over several scenes; small ones of one size go through it together.

        Parameters
        ----------
        interferograms
            As for :meth:`examine`.
        tile_px
            See :func:`fringewatch.scan.scan`; windows need none.
        checked
            Whether they are known to keep the schema, as what :func:`fringewatch.open_interferogram` has just returned.

        Returns
        -------
        list of Examination
            In the order of the scenes, each bit for bit what :meth:`examine` gives. One without data is among them:
            its :meth:`Examination.checked` raises.

        Raises
        ------
        ProductError
            If one is no dataset or breaks the schema.
        """
        if not checked:
            for given in interferograms:
                _check(given)
        if self.windows:
            scans = [scan_windows(interferogram, self.bundle) for interferogram in interferograms]
        else:
            scans = scan_many(interferograms, self.bundle, tile_px=tile_px)
        return [
            Examination(interferogram, result, self._card_for(result), self.threshold)
            for interferogram, result in zip(interferograms, scans, strict=True)
        ]

    def _card_for(self, result: Scan) -> Card:
        """Return the card with the calibration that holds for a map: of windows of a scene, or of a patch by itself."""
        patch = self.card.patch_px
        alone = self.windows or (patch is not None and max(result.shape) <= patch)
        return self.card.of_patches() if alone else self.card

    def annotate(self, interferogram: xr.Dataset) -> xr.DataArray:
        """Return the probability of deformation on the interferogram's grid; NaN where it has no data."""
        return self.examine(interferogram).probability

    def detect(self, interferogram: xr.Dataset) -> gpd.GeoDataFrame:
        """Return one row per region that deforms, best first; see :func:`fringewatch.regions.find_regions`."""
        return self.examine(interferogram).regions

    def score(self, interferogram: xr.Dataset) -> float:
        """Return the calibrated probability that the scene shows deformation."""
        return self.examine(interferogram).score


def _check(given: object) -> None:
    if not isinstance(given, xr.Dataset):
        kind = type(given).__name__
        message = f"got a {kind}, expected an interferogram; open the file with fringewatch.open_interferogram first"
        raise ProductError(message)
    validate(given)


def _terrain_like(detections: Detections) -> list[str]:
    """Warn of detections whose phase follows the terrain, as stratified delay over a cone does."""
    return [
        f"detection {row['region']}: phase follows the terrain (correlation {correlation:+.2f}); it may be stratified "
        "delay"
        for row in detections.rows
        if abs(correlation := row["phase_height_correlation"]) >= _TERRAIN_CORRELATION
    ]


def _outside_training(interferogram: xr.Dataset, card: Card) -> list[str]:
    trained, actual = card.encoding.pixel_size_m, pixel_size_m(interferogram)
    if trained is None:
        return []
    if actual is None:
        note = (
            f"the pixel size is not known: the model was trained on {trained[0]:g} to {trained[1]:g} m; give "
            "--pixel-size-m (pixel_size_m in Python) for a check of it and for lengths in metres"
        )
        return [note]
    coarse, fine = max(actual), min(actual)
    # A tenth of tolerance: degrees make pixels of 90 m 89.7 m at the next latitude.
    if fine >= 0.9 * trained[0] and coarse <= 1.1 * trained[1]:
        return []
    note = (
        f"pixels of {fine:.3g} x {coarse:.3g} m lie outside the {trained[0]:g} to {trained[1]:g} m that the model was "
        "trained on; scores are less reliable"
    )
    return [note]
