"""Writers of simulated scenes: patches, LiCSAR frames with their truth, and the manifest that grows with them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import OutputError, ProductError
from fringewatch.files import atomic_path, ensure_folder, write_text
from fringewatch.patches import write_patch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import BinaryIO, Self

    from numpy.typing import NDArray

    from fringewatch.simulate.sample import Sample
    from fringewatch.simulate.series import Series

__all__ = [
    "COLUMNS",
    "FIRST_DATE",
    "ManifestWriter",
    "describe_sample",
    "write_sample_patch",
    "write_scene",
    "write_series",
]

COLUMNS = (
    *("file", "label", "kind", "site", "scene_group", "split", "index", "snr_stratum"),
    *("row0", "row1", "col0", "col1", "parameters"),
)
"""Of the manifest of simulated scenes; ``parameters`` is JSON."""

_METRES_PER_DEGREE = 111_319.49
FIRST_DATE = dt.date(2020, 1, 1)
"""Of every simulated pair and series."""


def describe_sample(sample: Sample) -> dict[str, str]:
    """Return what the manifest says of a sample, without its place in the data set."""
    rows, cols = (np.flatnonzero(sample.mask.any(axis=axis)) for axis in (1, 0))
    box = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1) if len(rows) else ("", "", "", "")
    return {
        "label": "deformation" if sample.is_deformation else "none",
        "kind": sample.kind,
        "snr_stratum": str(sample.parameters.get("snr_stratum", "")),
        **{name: str(value) for name, value in zip(("row0", "row1", "col0", "col1"), box, strict=True)},
        "parameters": json.dumps(sample.parameters),
    }


def write_sample_patch(root: Path, sample: Sample, *, name: str) -> Path:
    """Write a sample as ``<root>/<label>/<name>.png`` and return the file."""
    folder = root / ("deformation" if sample.is_deformation else "none")
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.png"
    write_patch(path, sample.phase)
    return path


def write_scene(
    root: Path,
    sample: Sample,
    *,
    frame: str,
    longitude: float = 0.0,
    latitude: float = 0.0,
    step_deg: tuple[float, float] | None = None,
    reference_date: dt.date = FIRST_DATE,
    days: int = 12,
    wavelength_m: float = SENTINEL1_WAVELENGTH_M,
    truth_beside_pair: bool = False,
    geometry: bool = True,
) -> Path:
    """Write a sample as a pair of a LiCSAR frame, and its truth.

    Parameters
    ----------
    root
        Where the frame's folder is made.
    sample
        The simulated scene.
    frame
        LiCSAR frame name, such as ``000A_00000_000000``.
    longitude, latitude
        Of the upper left corner, degrees.
    step_deg
        Size of a pixel along longitude and along latitude, degrees. Default: that of a pixel at the equator.
    reference_date, days
        First acquisition and the days to the second.
    wavelength_m
        Of the simulated radar.
    truth_beside_pair
        Write the truth into the pair's folder, for frames of several pairs, and not into the frame's.
    geometry
        Write the frame's look vectors and heights; they are the same for all of its pairs.

    Returns
    -------
    pathlib.Path
        The phase. ``truth.npz`` holds ``los_m`` (float16) and ``mask`` (bool), ``truth.json`` every parameter; that is
        written last.
    """
    from affine import Affine

    from fringewatch.interferogram import make_interferogram
    from fringewatch.products.licsar import write_licsar

    step = step_deg or (sample.pixel_m / _METRES_PER_DEGREE,) * 2
    companions = {"coherence": sample.coherence}
    if geometry:
        companions["height"] = sample.height_m
        for name, component in zip(("los_east", "los_north", "los_up"), sample.look, strict=True):
            companions[name] = np.full(sample.phase.shape, component, np.float32)
    dataset = make_interferogram(
        sample.phase,
        wavelength_m=wavelength_m,
        source=frame,
        product="simulated",
        transform=Affine(step[0], 0, longitude, 0, -step[1], latitude),
        crs="EPSG:4326",
        companions=companions,
    )
    phase = write_licsar(
        root,
        dataset,
        frame=frame,
        reference_date=reference_date.isoformat(),
        secondary_date=(reference_date + dt.timedelta(days=days)).isoformat(),
    )
    folder = phase.parent if truth_beside_pair else phase.parent.parent
    _write_truth(folder, {"los_m": sample.los_m.astype(np.float16), "mask": sample.mask}, sample.parameters)
    return phase


def write_series(folder: Path, series: Series) -> None:
    """Write the truth of a series that no pair holds into its frame's folder.

    ``truth.npz``: ``days`` since the first date, ``los_m`` (dates, H, W) since the first date, float16, and
    ``delay_rad`` (dates, H, W), the phase of each date but for its deformation, float32. ``truth.json``: every
    parameter, of the series and of each date.
    """
    days = np.array([(date - series.dates[0]).days for date in series.dates], np.int32)
    arrays: dict[str, NDArray[Any]] = {
        "days": days,
        "los_m": series.los_m.astype(np.float16),
        "delay_rad": series.delay_rad,
    }
    dates = [{"date": date.isoformat(), **drawn} for date, drawn in zip(series.dates, series.acquisitions, strict=True)]
    _write_truth(folder, arrays, {**series.parameters, "acquisitions": dates})


def _write_truth(folder: Path, arrays: Mapping[str, NDArray[Any]], parameters: Mapping[str, object]) -> None:
    with atomic_path(ensure_folder(folder) / "truth.npz") as temporary, temporary.open("wb") as handle:
        # NumPy's stub takes every keyword for its option.
        np.savez_compressed(handle, **arrays)  # type: ignore[arg-type]
    write_text(folder / "truth.json", json.dumps(parameters, indent=2) + "\n")


class ManifestWriter:
    """A manifest that is complete after every batch of scenes, so that a run can stop at any moment.

    Opening one that exists takes over its rows. A row that a power cut or a full disk tore, and others of the same
    scene, are dropped.

    Parameters
    ----------
    path
        The CSV file.

    Raises
    ------
    ProductError
        If there is a file of other columns.
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[int, str] = {}
        """Scenes in it on opening: index to label, for those whose files all exist."""
        self._known: set[int] = set()
        self._lost: set[int] = set()
        self._mend()
        try:
            self._handle: BinaryIO = path.open("ab")
            if not self._handle.tell():
                self._write([dict(zip(COLUMNS, COLUMNS, strict=True))])
        except OSError as error:
            raise self._explain(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def append(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Append rows of whole scenes and hand them to the system; rows of scenes that it had already are skipped.

        Raises
        ------
        OutputError
            If they cannot be written; the manifest is then as it was before.
        """
        new = [row for row in rows if int(row["index"]) not in self._known]
        self._known |= {int(row["index"]) for row in new}
        try:
            self._write(new)
        except OSError as error:
            raise self._explain(error) from error

    def _write(self, rows: Iterable[Mapping[str, str]]) -> None:
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
        size = self._handle.tell()
        try:
            self._handle.write(text.getvalue().encode())
            self._handle.flush()
        except OSError:
            self._handle.truncate(size)
            raise

    def _mend(self) -> None:
        """Read the rows there are, and cut off a torn one at the end."""
        if not self.path.exists():
            return
        try:
            size, torn = self._read()
            self.kept = {index: label for index, label in self.kept.items() if index not in self._lost}
            if torn:
                with self.path.open("r+b") as handle:
                    handle.truncate(size)
        except OSError as error:
            raise self._explain(error) from error

    def _read(self) -> tuple[int, bool]:
        """Return where the last whole scene ends, and whether something torn follows it."""
        position = start_of_scene = 0
        last = -1
        with self.path.open("rb") as handle:
            header = handle.readline().decode()
            if ",".join(COLUMNS).startswith(header):
                # Stopped before its first line was whole.
                return 0, True
            self._check_header(next(csv.reader([header])))
            position = start_of_scene = handle.tell()
            for line in handle:
                if not line.endswith(b"\n"):
                    # The torn row may be of the scene before it, if that is a series.
                    self._known.discard(last)
                    self.kept.pop(last, None)
                    return start_of_scene, True
                row = dict(zip(COLUMNS, next(csv.reader([line.decode()])), strict=True))
                index = int(row["index"])
                if index != last:
                    start_of_scene = position
                    self.kept[index] = row["label"]
                elif row["label"] == "deformation":
                    self.kept[index] = row["label"]
                position += len(line)
                last = index
                self._known.add(index)
                if not (self.path.parent / row["file"]).is_file():
                    self._lost.add(index)
        return position, False

    def _check_header(self, fields: list[str]) -> None:
        if tuple(fields) != COLUMNS:
            message = (
                f"{self.path}: has the columns {', '.join(fields)}, which are not those of a simulated set; choose "
                "another --out"
            )
            raise ProductError(message)

    def _explain(self, error: OSError) -> OutputError:
        message = (
            f"{self.path}: cannot be written ({error.strerror or error}); free some space or change the permissions, "
            "and the same command goes on where it stopped"
        )
        return OutputError(message)
