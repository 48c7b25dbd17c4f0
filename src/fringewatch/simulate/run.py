"""The `simulate` command: patch data sets, scenes in LiCSAR form, or a preview picture."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import tyro
from pydantic import Field

from fringewatch.config import Config
from fringewatch.files import atomic_path, ensure_folder, write_text
from fringewatch.progress import track
from fringewatch.simulate.noise import RealNoise
from fringewatch.simulate.sample import Sample, simulate
from fringewatch.simulate.spec import PresetName, SceneSpec, preset

__all__ = ["SimulateConfig", "SimulateResult", "run", "write_scene"]

_METRES_PER_DEGREE = 111_319.49


class SimulateConfig(Config):
    """Settings of `fringewatch simulate`."""

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
    preview: Annotated[bool, tyro.conf.FlagCreatePairsOff] = Field(
        False, description="Also write preview.png, a contact sheet of the first scenes."
    )
    seed: int = Field(0, ge=0, description="Seed; the same seed gives the same scenes.")


class SimulateResult(NamedTuple):
    """What was written."""

    out: Path
    count: int
    deformation: int


def run(config: SimulateConfig) -> SimulateResult:
    """Simulate and write; scenes that exist already are kept."""
    out = ensure_folder(config.out)
    base = preset(config.preset).model_dump() | config.spec
    if config.size_px is not None:
        base |= {"height_px": config.size_px, "width_px": config.size_px}
    spec = SceneSpec.build(base, where="spec")
    noise = RealNoise(config.noise_from) if config.noise_from else None
    write_text(out / "simulate.yaml", config.to_yaml())
    rows = []
    shown: list[Sample] = []
    with track("simulating", total=config.count) as advance:
        for index in range(config.count):
            sample = simulate(spec, seed=config.seed, index=index, noise=noise)
            rows.append(_write(out, config, sample, index))
            if config.preview and len(shown) < 48:
                shown.append(sample)
            advance(1)
    if config.form == "patches":
        from fringewatch.patches import write_manifest

        write_manifest(out / "manifest.csv", rows)
    if config.preview:
        from fringewatch.report import contact_sheet

        contact_sheet(
            out / "preview.png",
            [(sample.phase, sample.mask, _title(sample)) for sample in shown],
        )
    return SimulateResult(out, config.count, sum(row["label"] == "deformation" for row in rows))


def _title(sample: Sample) -> str:
    fringes = sample.parameters.get("peak_to_peak_fringes")
    source = sample.parameters.get("source_1", sample.kind)
    return f"{source}, {fringes:.1f} fringes" if isinstance(fringes, float) else str(sample.kind)


def _write(out: Path, config: SimulateConfig, sample: Sample, index: int) -> dict[str, Any]:
    label = "deformation" if sample.is_deformation else "none"
    name = f"{config.preset}_{config.seed}_{index:06d}"
    if config.form == "licsar":
        folder = write_scene(out, sample, name=name)
        return {"file": str(folder.relative_to(out)), "label": label}
    from fringewatch.patches import write_patch

    folder = ensure_folder(out / label)
    write_patch(folder / f"{name}.png", sample.phase)
    rows = np.flatnonzero(sample.mask.any(axis=1))
    cols = np.flatnonzero(sample.mask.any(axis=0))
    box = dict.fromkeys(("row0", "row1", "col0", "col1"), "")
    if len(rows):
        box = {"row0": rows[0], "row1": rows[-1] + 1, "col0": cols[0], "col1": cols[-1] + 1}
    return {
        "file": f"{label}/{name}.png",
        "label": label,
        "kind": sample.kind,
        # Every simulated scene is a site of its own: nothing is shared between two of them.
        "site": name,
        "scene_group": name,
        **box,
        "parameters": json.dumps(sample.parameters),
    }


def write_scene(
    root: Path,
    sample: Sample,
    *,
    name: str,
    frame: str = "000A_00000_000000",
    longitude: float = 0.0,
    latitude: float = 0.0,
    reference_date: datetime.date = datetime.date(2020, 1, 1),
    days: int = 12,
) -> Path:
    """Write a sample as a LiCSAR frame with one pair, plus ``truth.npz`` and ``truth.json`` beside it.

    Returns
    -------
    pathlib.Path
        The frame's folder, ``root / name``.
    """
    from fringewatch.interferogram import make_interferogram
    from fringewatch.products.licsar import write_licsar

    secondary = reference_date + datetime.timedelta(days=days)
    degrees = sample.pixel_m / _METRES_PER_DEGREE
    from affine import Affine

    height, width = sample.phase.shape
    dataset = make_interferogram(
        sample.phase,
        wavelength_m=0.0554658,
        source="simulated",
        product="simulated",
        name=name,
        reference_date=reference_date.isoformat(),
        secondary_date=secondary.isoformat(),
        transform=Affine(degrees, 0, longitude, 0, -degrees, latitude),
        crs="EPSG:4326",
        companions={
            "coherence": sample.coherence,
            "height": sample.height_m,
            "los_east": np.full((height, width), sample.look.east),
            "los_north": np.full((height, width), sample.look.north),
            "los_up": np.full((height, width), sample.look.up),
        },
    )
    folder = write_licsar(root, dataset, frame=frame)
    with atomic_path(folder / "truth.npz") as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, los_m=sample.los_m.astype(np.float16), mask=sample.mask)
    write_text(folder / "truth.json", json.dumps(sample.parameters, indent=2) + "\n")
    return folder
