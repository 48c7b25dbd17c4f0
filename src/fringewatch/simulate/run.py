"""The `simulate` command: patch data sets, scenes in LiCSAR form, or a preview picture."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from fringewatch.config import Config
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.errors import ConfigError
from fringewatch.files import atomic_path, ensure_folder, write_text
from fringewatch.patches import Box, Patch, write_manifest, write_patch
from fringewatch.progress import track
from fringewatch.simulate.noise import RealNoise
from fringewatch.simulate.sample import Sample, simulate
from fringewatch.simulate.spec import PresetName, SceneSpec, preset

__all__ = ["SimulateConfig", "SimulateResult", "run", "write_scene"]

_METRES_PER_DEGREE = 111_319.49


class SimulateConfig(Config):
    """Simulate interferograms with known deformation, as labelled patches or as scenes in LiCSAR form."""

    out: Path = Field(Path("simulated"), description="Folder to write into.")
    preset: PresetName = Field("mixed", description="Population of scenes.")
    spec: dict[str, Any] = Field(
        default_factory=dict, description="Fields of SceneSpec that differ from the preset (in a --config file)."
    )
    count: int = Field(16, ge=1, description="Number of scenes.")
    form: Literal["patches", "licsar"] = Field(
        "patches", description="Patches (PNG and manifest.csv by label) or scenes in LiCSAR form with truth."
    )
    size_px: int | None = Field(None, ge=32, le=4096, description="Height and width; default: the preset's.")
    noise_from: Path | None = Field(None, description="Folder of real quiet patches for backgrounds.")
    preview: bool = Field(False, description="Also write preview.png, a contact sheet of the first scenes.")
    seed: int = Field(0, ge=0, description="Seed; the same seed gives the same scenes.")


class SimulateResult(NamedTuple):
    """What was written."""

    out: Path
    scenes: int
    deformation: int

    def describe(self) -> str:
        """Return the outcome in a line for a terminal."""
        return f"{self.scenes} scenes in {self.out}, {self.deformation} with visible deformation"


def run(config: SimulateConfig) -> SimulateResult:
    """Simulate and write; what exists already is written again, the same."""
    if config.form == "licsar" and (config.count > 100_000 or config.seed >= 1_000_000):
        message = (
            f"count = {config.count}, seed = {config.seed}: frame names of LiCSAR have room for 100,000 scenes "
            "and seeds below 1,000,000; use another --out and --seed for the rest, or --form patches"
        )
        raise ConfigError(message)
    out = ensure_folder(config.out)
    base = preset(config.preset).model_dump() | config.spec
    if config.size_px is not None:
        base |= {"height_px": config.size_px, "width_px": config.size_px}
    spec = SceneSpec.build(base, where="spec")
    noise = RealNoise(config.noise_from) if config.noise_from else None
    write_text(out / "simulate.yaml", config.to_yaml())
    rows = []
    deformation = 0
    shown: list[Sample] = []
    with track("simulating", total=config.count) as advance:
        for index in range(config.count):
            sample = simulate(spec, seed=config.seed, index=index, noise=noise)
            rows.append(_write(out, config, sample, index))
            deformation += sample.is_deformation
            if config.preview and len(shown) < 48:
                shown.append(sample)
            advance(1)
    if config.form == "patches":
        write_manifest(out / "manifest.csv", (row for row in rows if row is not None))
    if config.preview:
        from fringewatch.figures import contact_sheet

        contact_sheet(
            out / "preview.png",
            [(sample.phase, sample.mask, _title(sample)) for sample in shown],
        )
    return SimulateResult(out, config.count, deformation)


def _title(sample: Sample) -> str:
    fringes = sample.parameters.get("peak_to_peak_fringes")
    source = sample.parameters.get("source_1", sample.kind)
    return f"{source}, {fringes:.1f} fringes" if isinstance(fringes, float) else str(sample.kind)


def _write(out: Path, config: SimulateConfig, sample: Sample, index: int) -> Patch | None:
    label = "deformation" if sample.is_deformation else "none"
    name = f"{config.preset}_{config.seed}_{index:06d}"
    if config.form == "licsar":
        write_scene(out, sample, frame=f"{index % 1000:03d}{sample.track}_{index:05d}_{config.seed:06d}")
        return None
    folder = ensure_folder(out / label)
    path = folder / f"{name}.png"
    write_patch(path, sample.phase)
    rows = np.flatnonzero(sample.mask.any(axis=1))
    cols = np.flatnonzero(sample.mask.any(axis=0))
    return Patch(
        path=path,
        label=int(sample.is_deformation),
        kind=sample.kind,
        # Every simulated scene is a site of its own: nothing is shared between two of them.
        site=name,
        group=name,
        box=Box(int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1) if len(rows) else None,
        columns={"parameters": json.dumps(sample.parameters)},
    )


def write_scene(
    root: Path,
    sample: Sample,
    *,
    frame: str,
    longitude: float = 0.0,
    latitude: float = 0.0,
    reference_date: dt.date = dt.date(2020, 1, 1),
    days: int = 12,
    wavelength_m: float = SENTINEL1_WAVELENGTH_M,
) -> Path:
    """Write a sample as a LiCSAR frame with one pair and its truth.

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
    reference_date, days
        First acquisition and the days to the second.
    wavelength_m
        Of the simulated radar.

    Returns
    -------
    pathlib.Path
        The frame's folder; beside the pair it holds ``truth.npz`` (``los_m`` float16, ``mask`` bool) and
        ``truth.json`` (every parameter).
    """
    from affine import Affine

    from fringewatch.interferogram import make_interferogram
    from fringewatch.products.licsar import write_licsar

    degrees = sample.pixel_m / _METRES_PER_DEGREE
    companions = {"coherence": sample.coherence, "height": sample.height_m}
    for name, component in zip(("los_east", "los_north", "los_up"), sample.look, strict=True):
        companions[name] = np.full(sample.phase.shape, component, np.float32)
    dataset = make_interferogram(
        sample.phase,
        wavelength_m=wavelength_m,
        source=frame,
        product="simulated",
        transform=Affine(degrees, 0, longitude, 0, -degrees, latitude),
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
    folder = phase.parent.parent
    with atomic_path(folder / "truth.npz") as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, los_m=sample.los_m.astype(np.float16), mask=sample.mask)
    write_text(folder / "truth.json", json.dumps(sample.parameters, indent=2) + "\n")
    return folder
