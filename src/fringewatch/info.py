"""The `info` command: what files are, what was understood and what was assumed, before anything is detected in them."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, Field
from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fringewatch.config import Config
from fringewatch.errors import ConfigError, FringewatchError
from fringewatch.files import DRAWN_BY, atomic_path, ensure_folder, is_drawn_here
from fringewatch.interferogram import OPTIONAL_VARIABLES, half_turn, pixel_size_m
from fringewatch.physics.coherence import local_coherence
from fringewatch.products import discover, open_interferogram
from fringewatch.products.reference import Kind, Sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    import xarray as xr

    from fringewatch.products import Reference

__all__ = ["Facts", "InfoConfig", "InfoResult", "describe_interferogram", "run"]

_BANDS_M = {"P": 0.3, "L": 0.15, "S": 0.075, "C": 0.0375, "X": 0.025}
"""Radar bands by their shortest wavelength (IEEE 521)."""
_LOCAL_PIXELS = 16_000_000
_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg"}
_JPEG_MARK = f"Software\0{DRAWN_BY}"
"""What a PNG says in a text of its own; JPEG has only comments."""


class InfoConfig(Config):
    """Tell what interferograms are: product, dates, size, coordinates, line of sight, and what had to be assumed."""

    inputs: tuple[str, ...] = Field(
        (),
        description="Files, folders (searched with all below), patterns in quotes, or http(s):// and s3:// addresses.",
        json_schema_extra={"positional": True},
    )
    preview: Path | None = Field(
        None,
        description="Draw phase and coherence: a .png for one interferogram, else a folder, made if missing.",
    )
    json_output: bool = Field(False, description="Print JSON instead of tables.", json_schema_extra={"flag": "--json"})
    kind: Kind = Field("auto", description="What the files hold; judged from name and content if not given.")
    wavelength_m: float | None = Field(
        None, gt=0.005, lt=2, description="Radar wavelength in metres, for files that do not say (else Sentinel-1's)."
    )
    phase_sign: Sign | None = Field(None, description="What phase grows with, for files that do not say.")
    band: int | None = Field(None, ge=1, description="Band that holds the phase, for files with several.")
    nodata: float | None = Field(None, description="Value that means no data, for files that do not say.")
    interval_days: float | None = Field(
        None, gt=0, description="Days over which a velocity becomes displacement and phase; needed for velocities only."
    )


class Facts(BaseModel):
    """What is known of one interferogram, or why it could not be read.

    Attributes
    ----------
    source, name, product, reference_date, secondary_date, phase_sign, assumptions
        As in :mod:`fringewatch.interferogram`; dates ISO or empty.
    error
        Why it cannot be read; all else but `source` and `name` is then empty. Or why its picture was not drawn.
    days
        From the reference to the secondary date; None where a date is unknown.
    wavelength_m, band, fringe_m
        Radar wavelength, its band's letter, and the LOS motion of one fringe, half the wavelength.
    rows, columns, pixel_size, pixel_size_m
        Size; pixel size (along y, along x) in units of the CRS and in metres on the ground. None without a CRS.
    crs, centre, bounds
        Name of the CRS; longitude and latitude of the centre; (west, south, east, north) in the CRS.
    incidence_deg, azimuth_deg
        Smallest and largest angle between line of sight and vertical; mean direction from the ground to the satellite,
        clockwise from north. None where the file brings no line of sight.
    valid_share
        Share of pixels with data.
    coherence, local_coherence
        Mean over the valid pixels of the coherence that came with the file, and of the agreement of neighbouring phases
        (:func:`fringewatch.physics.coherence.local_coherence`); None where there is none or the scene is large.
    unwrapped_range_rad
        Largest less smallest phase of an unwrapped source, else None.
    companions
        Which of coherence, height and line of sight were found.
    preview
        The picture that was drawn, or empty.
    """

    source: str
    name: str
    product: str = ""
    error: str = ""
    reference_date: str = ""
    secondary_date: str = ""
    days: int | None = None
    phase_sign: str = ""
    wavelength_m: float | None = None
    band: str = ""
    fringe_m: float | None = None
    rows: int | None = None
    columns: int | None = None
    pixel_size: tuple[float, float] | None = None
    pixel_size_m: tuple[float, float] | None = None
    crs: str = ""
    centre: tuple[float, float] | None = None
    bounds: tuple[float, float, float, float] | None = None
    incidence_deg: tuple[float, float] | None = None
    azimuth_deg: float | None = None
    valid_share: float | None = None
    coherence: float | None = None
    local_coherence: float | None = None
    unwrapped_range_rad: float | None = None
    companions: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    preview: str = ""


class InfoResult(BaseModel):
    """What a run of ``fringewatch info`` found, in the order of the inputs."""

    facts: tuple[Facts, ...]
    as_json: bool = False

    @property
    def exit_code(self) -> int:
        """0: everything was read, and drawn where that was asked for; 1: nothing could be; 3: some could not."""
        failed = sum(bool(facts.error) for facts in self.facts)
        if failed == len(self.facts):
            return 1
        return 3 if failed else 0

    def describe(self, *, width: int | None = None) -> str:
        """Return tables as wide as the terminal or `width`, at least 60 columns; or JSON where that was asked for."""
        if self.as_json:
            return json.dumps([facts.model_dump(mode="json") for facts in self.facts], indent=2, ensure_ascii=False)
        columns = shutil.get_terminal_size().columns if width is None else width
        text = io.StringIO()
        # Colours for a person only; `None` would look at `text`, which is no terminal.
        console = Console(
            file=text, width=max(60, columns), highlight=False, force_terminal=sys.stdout.isatty() and width is None
        )
        for facts in self.facts:
            console.print(_show(facts))
        unread = sum(bool(facts.error) and not facts.product for facts in self.facts)
        undrawn = sum(bool(facts.error and facts.product) for facts in self.facts)
        if len(self.facts) > 1:
            more = f", {undrawn} not drawn" if undrawn else ""
            console.print(f"{len(self.facts)} interferograms, {unread} of them cannot be read{more}")
        return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def run(config: InfoConfig) -> InfoResult:
    """Look at every input; one that cannot be read or drawn is described by its error.

    Raises
    ------
    ConfigError
        If there is no input, or one picture is asked for of several interferograms.
    OutputError
        If a picture cannot be written.
    """
    if not config.inputs:
        message = "no input: name files, folders, patterns or addresses, for example: fringewatch info data/"
        raise ConfigError(message)
    references = list(discover(config.inputs))
    single = config.preview is not None and config.preview.suffix.lower() in _PICTURE_SUFFIXES
    if single and len(references) > 1:
        message = (
            f"preview = {config.preview}: is one picture, but there are {len(references)} interferograms; "
            "name a folder, or one interferogram"
        )
        raise ConfigError(message)
    found = []
    inputs = _identities(references) if config.preview is not None else frozenset()
    for reference in references:
        picture = None
        if config.preview is not None:
            picture = config.preview if single else config.preview / f"{reference.name}.png"
        found.append(_look_at(reference, config, picture, inputs))
    return InfoResult(facts=tuple(found), as_json=config.json_output)


def _identities(references: Iterable[Reference]) -> frozenset[tuple[int, int]]:
    """Return what tells local files apart whatever they are called: device and number of all that will be read."""
    found = set()
    for reference in references:
        for path in (reference.path, *reference.companions.values()):
            with contextlib.suppress(OSError, ValueError):
                found.add(_identity(path))
    return frozenset(found)


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116  (paths may be addresses, which a Path would change)
    return status.st_dev, status.st_ino


def _look_at(reference: Reference, config: InfoConfig, picture: Path | None, inputs: Set[tuple[int, int]]) -> Facts:
    try:
        interferogram = open_interferogram(
            reference,
            wavelength_m=config.wavelength_m,
            phase_sign=config.phase_sign,
            kind=config.kind,
            band=config.band,
            nodata=config.nodata,
            interval_days=config.interval_days,
        )
        facts = describe_interferogram(interferogram)
    except FringewatchError as error:
        return Facts(source=reference.address, name=reference.name, error=" ".join(str(error).split()))
    if picture is None:
        return facts
    if problem := _refusal(picture, inputs):
        return facts.model_copy(update={"error": problem})
    from fringewatch.report import draw_interferogram, drawn_here

    ensure_folder(picture.parent)
    with atomic_path(picture) as temporary:
        draw_interferogram(interferogram).save(temporary, pnginfo=drawn_here(), comment=_JPEG_MARK)
    return facts.model_copy(update={"preview": str(picture)})


def _refusal(picture: Path, inputs: Set[tuple[int, int]]) -> str:
    """Return why a picture may not be drawn there; nothing if it may."""
    if not picture.exists():
        return ""
    if _identity(picture) in inputs:
        return f"{picture}: is one of the inputs and was not replaced by a preview; name another --preview"
    if not is_drawn_here(picture):
        return (
            f"{picture}: is a picture that fringewatch did not draw, and was not replaced by a preview; "
            "name another --preview, or remove it"
        )
    return ""


def describe_interferogram(interferogram: xr.Dataset) -> Facts:
    """Return what is known of an interferogram.

    Parameters
    ----------
    interferogram
        See :mod:`fringewatch.interferogram`. Of a lazy one, values are read once, block by block.

    Returns
    -------
    Facts
    """
    attrs = interferogram.attrs
    phase = interferogram["phase"]
    wavelength_m = float(attrs["wavelength_m"])
    rows, columns = phase.shape
    valid = phase.notnull()
    return Facts(
        source=attrs["source"],
        name=attrs["name"],
        product=attrs["product"],
        reference_date=attrs["reference_date"],
        secondary_date=attrs["secondary_date"],
        days=_days(attrs["reference_date"], attrs["secondary_date"]),
        phase_sign=attrs["phase_sign"],
        wavelength_m=wavelength_m,
        band=next((name for name, shortest in _BANDS_M.items() if wavelength_m >= shortest), ""),
        fringe_m=wavelength_m / 2,
        rows=rows,
        columns=columns,
        valid_share=float(valid.mean()),
        coherence=_mean(interferogram["coherence"].where(valid)) if "coherence" in interferogram else None,
        local_coherence=_local_coherence(phase),
        unwrapped_range_rad=attrs.get("unwrapped_range_rad"),
        companions=tuple(name for name in OPTIONAL_VARIABLES if name in interferogram),
        assumptions=tuple(attrs["assumptions"]),
        **_place(interferogram),
        **_line_of_sight(interferogram),
    )


def _days(first: str, second: str) -> int | None:
    if not first or not second:
        return None
    return (dt.date.fromisoformat(second) - dt.date.fromisoformat(first)).days


def _mean(values: xr.DataArray) -> float | None:
    mean = float(values.mean())
    return mean if np.isfinite(mean) else None


def _local_coherence(phase: xr.DataArray) -> float | None:
    """Return the mean agreement of neighbouring phases; None for what is lazy or large."""
    if not isinstance(phase.data, np.ndarray) or phase.size > _LOCAL_PIXELS:
        return None
    measured = local_coherence(phase.data)
    return float(measured[np.isfinite(phase.data)].mean())


def _place(interferogram: xr.Dataset) -> dict[str, Any]:
    size_m = pixel_size_m(interferogram)
    if size_m is None:
        return {}
    crs = interferogram.rio.crs
    if crs is None:
        # Radar geometry with a table of positions, or a size that the user gave.
        return {"pixel_size_m": size_m, "centre": _middle(interferogram)}
    from pyproj import Transformer

    transform = interferogram.rio.transform()
    west, south, east, north = interferogram.rio.bounds()
    code = crs.to_epsg()
    to_degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform((west + east) / 2, (south + north) / 2)
    return {
        "crs": f"EPSG:{code}" if code else str(crs),
        "pixel_size": (float(np.hypot(transform.b, transform.e)), float(np.hypot(transform.a, transform.d))),
        "pixel_size_m": size_m,
        "bounds": (west, south, east, north),
        # Outside the projection's own area there is no such place.
        "centre": (half_turn(longitude), float(latitude)) if np.isfinite([longitude, latitude]).all() else None,
    }


def _middle(interferogram: xr.Dataset) -> tuple[float, float] | None:
    """Return longitude and latitude of the middle pixel, or of the nearest in its row that has any."""
    if "lat" not in interferogram.coords:
        return None
    rows, columns = interferogram["phase"].shape
    line = interferogram.isel(y=rows // 2)
    longitude, latitude = (np.asarray(line[name].values) for name in ("lon", "lat"))
    known = np.flatnonzero(np.isfinite(longitude) & np.isfinite(latitude))
    if not known.size:
        return None
    place = known[np.abs(known - columns // 2).argmin()]
    return float(longitude[place]), float(latitude[place])


def _line_of_sight(interferogram: xr.Dataset) -> dict[str, Any]:
    if not {"los_east", "los_north", "los_up"} <= set(interferogram.data_vars):
        return {}
    up = interferogram["los_up"].clip(-1, 1)
    low, high = float(up.min()), float(up.max())
    east, north = float(interferogram["los_east"].mean()), float(interferogram["los_north"].mean())
    if not np.isfinite([low, high, east, north]).all():
        return {}
    return {
        "incidence_deg": (float(np.degrees(np.arccos(high))), float(np.degrees(np.arccos(low)))),
        "azimuth_deg": float(np.degrees(np.arctan2(east, north)) % 360),
    }


def _show(facts: Facts) -> Group:
    title = Text(facts.name or facts.source, style="bold")
    if facts.error and not facts.product:
        return Group(title, Padding(Text(f"cannot be read: {facts.error}", style="red"), (0, 0, 1, 2)))
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for key, text in _rows(facts):
        table.add_row(key, Text(text))
    for sentence in facts.assumptions or ("nothing",):
        table.add_row("assumed" if sentence in {*facts.assumptions[:1], "nothing"} else "", Text(sentence))
    if facts.error:
        table.add_row("not drawn", Text(facts.error, style="red"))
    return Group(title, table)


def _rows(facts: Facts) -> Iterable[tuple[str, str]]:
    yield "file", facts.source
    yield "product", facts.product
    if facts.days is not None:
        yield "dates", f"{facts.reference_date} to {facts.secondary_date} ({facts.days} days)"
    else:
        yield "dates", facts.reference_date or facts.secondary_date or "unknown"
    yield "size", _size(facts)
    yield "coordinates", _coordinates(facts)
    if facts.wavelength_m and facts.fringe_m:
        band = f" ({facts.band} band)" if facts.band else ""
        yield "wavelength", f"{facts.wavelength_m * 100:.4g} cm{band}; a fringe is {facts.fringe_m * 100:.3g} cm of LOS"
    unknown = facts.phase_sign == "unknown"
    yield "sign", "unknown" if unknown else f"phase grows with {facts.phase_sign.replace(' increase', '')}"
    if facts.unwrapped_range_rad is not None:
        fringes = facts.unwrapped_range_rad / (2 * np.pi)
        yield (
            "source",
            f"unwrapped, over {facts.unwrapped_range_rad:.1f} rad ({fringes:.1f} fringes); wrapped on reading",
        )
    yield "line of sight", _sight(facts)
    yield "valid", f"{facts.valid_share:.1%} of the pixels"
    yield "coherence", _coherence(facts)
    others = [name for name in facts.companions if name == "height"]
    if others:
        yield "with it", ", ".join(others)
    if facts.preview:
        yield "preview", facts.preview


def _size(facts: Facts) -> str:
    text = f"{facts.rows:,} x {facts.columns:,} pixels"
    if facts.pixel_size_m is None or facts.rows is None or facts.columns is None:
        return text
    high, wide = facts.pixel_size_m
    return f"{text} of {high:.4g} x {wide:.4g} m: {facts.rows * high / 1000:.3g} x {facts.columns * wide / 1000:.3g} km"


def _coordinates(facts: Facts) -> str:
    known = facts.crs or ("latitude and longitude of each pixel" if facts.centre else "none: pixel indices")
    if facts.centre is None:
        return known
    longitude, latitude = facts.centre
    return (
        f"{known}, centre {abs(latitude):.4f}° {'N' if latitude >= 0 else 'S'} "
        f"{abs(longitude):.4f}° {'E' if longitude >= 0 else 'W'}"
    )


def _sight(facts: Facts) -> str:
    if facts.incidence_deg is None or facts.azimuth_deg is None:
        return "not known"
    low, high = facts.incidence_deg
    incidence = f"{low:.1f}°" if high - low < 0.05 else f"{low:.1f}° to {high:.1f}°"
    side = "west" if facts.azimuth_deg > 180 else "east"
    track = "ascending" if side == "west" else "descending"
    return f"incidence {incidence}; satellite in the {side} ({facts.azimuth_deg:.0f}°): {track} if it looks right"


def _coherence(facts: Facts) -> str:
    parts = []
    if facts.coherence is not None:
        parts.append(f"mean {facts.coherence:.2f}")
    if facts.local_coherence is not None:
        parts.append(f"neighbouring phases agree to {facts.local_coherence:.2f}")
    return "; ".join(parts) or "not known"
