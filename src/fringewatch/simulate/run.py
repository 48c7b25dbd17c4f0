"""The `simulate` command: many scenes from several processes, resumed after a stop."""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fringewatch._version import __version__
from fringewatch.errors import ConfigError
from fringewatch.files import ensure_folder, write_text
from fringewatch.patches import MANIFEST
from fringewatch.progress import say, track
from fringewatch.simulate.noise import RealNoise
from fringewatch.simulate.settings import HARMLESS, SimulateConfig
from fringewatch.simulate.site import Site, open_site
from fringewatch.simulate.work import PREVIEWED, Maker, Outcome, make_all
from fringewatch.simulate.write import ManifestWriter

if TYPE_CHECKING:
    from fringewatch.figures import Panel
    from fringewatch.simulate.spec import SceneSpec

__all__ = ["SimulateConfig", "SimulateResult", "run"]

_SETTINGS = "simulate.yaml"
_ORIGIN = re.compile(r"# (?:written by fringewatch |.*: sha256 )")
_REPORTED = 5


class SimulateResult(NamedTuple):
    """What lies in the folder after a run."""

    out: Path
    scenes: int
    """All that are there: single scenes, or series."""
    deformation: int
    """Those of them with visible deformation."""
    kept: int
    """Those of them that an earlier run had made."""
    failed: int
    what: str = "scenes"

    @property
    def exit_code(self) -> int:
        """0: all are there; 3: some failed; 1: all failed."""
        return 0 if not self.failed else 3 if self.scenes else 1

    def describe(self) -> str:
        """Return the outcome in a line for a terminal."""
        kept = f" ({self.kept} of them were there already)" if self.kept else ""
        failed = f"; {self.failed} failed" if self.failed else ""
        what = self.what if self.scenes != 1 or self.what == "series" else "scene"
        return f"{self.scenes} {what} in {self.out}, {self.deformation} with visible deformation{kept}{failed}"


def run(config: SimulateConfig) -> SimulateResult:
    """Simulate and write; what an earlier run with the same settings wrote is kept.

    Raises
    ------
    ConfigError
        If the settings contradict each other, or the folder holds scenes of other settings, which are listed.
    ProductError
        If a file of the place or of its noise cannot be used.
    OutputError
        If something cannot be written; the same command then goes on where it stopped.
    KeyboardInterrupt
        If the user stopped it; the folder holds a valid data set of the scenes made until then.
    """
    spec = config.population()
    _check_settings(config)
    noise = None if config.noise_from is None else RealNoise(config.noise_from)
    site = _open_site(config, spec, noise)
    origin = _origin(config)
    _check_origin(config, origin)
    out = ensure_folder(config.out)
    if (out / MANIFEST).is_file():
        # A process that was killed could not take its half-written file away.
        for left in out.rglob(".*.partial*"):
            left.unlink(missing_ok=True)
    maker = Maker(config, spec, site, noise)
    what = "series" if config.dates else "scenes"
    panels: dict[int, tuple[Panel, ...]] = {}
    failed: list[Outcome] = []
    with ManifestWriter(out / MANIFEST) as manifest:
        labels = dict(manifest.kept)
        write_text(out / _SETTINGS, origin + config.to_yaml())
        missing = [index for index in range(config.count) if index not in labels]
        try:
            _make_missing(maker, missing, manifest, labels, panels, failed)
        except BaseException:
            say(f"{out}: holds {len(labels)} of {config.count} {what}; the same command goes on from there")
            raise
    if config.preview:
        _draw_preview(maker, panels, without={outcome.scene for outcome in failed})
    deformation = sum(label == "deformation" for label in labels.values())
    kept = len(labels) + len(failed) - len(missing)
    return SimulateResult(out, len(labels), deformation, kept, len(failed), what)


def _make_missing(
    maker: Maker,
    missing: list[int],
    manifest: ManifestWriter,
    labels: dict[int, str],
    panels: dict[int, tuple[Panel, ...]],
    failed: list[Outcome],
) -> None:
    total = maker.config.count
    with (
        track("simulating", total=total, done=total - len(missing)) as advance,
        contextlib.closing(make_all(maker, missing, processes=maker.config.processes())) as batches,
    ):
        for batch in batches:
            manifest.append(row for outcome in batch for row in outcome.rows)
            for outcome in batch:
                if outcome.error:
                    failed.append(outcome)
                    _report(outcome, len(failed))
                    continue
                labels[outcome.scene] = max((row["label"] for row in outcome.rows), key="deformation".__eq__)
                if outcome.panels:
                    panels[outcome.scene] = outcome.panels
            advance(len(batch))


def _report(outcome: Outcome, number: int) -> None:
    if number <= _REPORTED:
        say(f"scene {outcome.scene} failed: {outcome.error}")
    elif number == _REPORTED + 1:
        say("more scenes failed; the number is told at the end")


def _check_settings(config: SimulateConfig) -> None:
    """Refuse to mix scenes of different settings in one folder."""
    path = config.out / _SETTINGS
    if not (path.is_file() and (config.out / MANIFEST).is_file()):
        return
    before = SimulateConfig.from_yaml(path)
    changed = [
        f"{name}: {getattr(before, name)} -> {getattr(config, name)}"
        for name in SimulateConfig.model_fields
        if name not in HARMLESS and getattr(before, name) != getattr(config, name)
    ]
    if config.count < before.count:
        changed.append(f"count: {before.count} -> {config.count}")
    if changed:
        message = (
            f"{config.out}: holds scenes made with other settings ({'; '.join(changed)}); choose another --out, or "
            "remove that folder"
        )
        raise ConfigError(message)


def _origin(config: SimulateConfig) -> str:
    """Return comment lines for the settings file: the version, and a hash of each input."""
    lines = [f"# written by fringewatch {__version__}"]
    for path in (config.dem, *map(Path, config.los), config.noise_from):
        if path is not None and path.exists():
            digest = hashlib.sha256()
            for file in sorted(path.glob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    digest.update(file.name.encode() + b"\0" + file.read_bytes())
            lines.append(f"# {path}: sha256 {digest.hexdigest()[:16]}")
    return "\n".join(lines) + "\n"


def _check_origin(config: SimulateConfig, origin: str) -> None:
    """Refuse to mix scenes of different versions or inputs in one folder."""
    path = config.out / _SETTINGS
    if not (path.is_file() and (config.out / MANIFEST).is_file()):
        return
    before = [line for line in path.read_text(encoding="utf-8").splitlines() if _ORIGIN.match(line)]
    now = [line for line in origin.splitlines() if _ORIGIN.match(line)]
    if before and before != now:
        message = (
            f"{config.out}: holds scenes of another version or of other input files ({'; '.join(before)} -> "
            f"{'; '.join(now)}); choose another --out, or remove that folder"
        )
        raise ConfigError(message)


def _open_site(config: SimulateConfig, spec: SceneSpec, noise: RealNoise | None) -> Site | None:
    if config.dem is None:
        return None
    site = open_site(
        config.dem,
        los=config.los,
        pixel_m=config.pixel_m,
        noise=None if noise is None else noise.phases,
        noise_pixel_m=config.noise_pixel_m,
        wavelength_m=spec.wavelength_m,
    )
    site.check_size((spec.height_px, spec.width_px))
    rows, cols = site.height_m.shape
    measured = f", noise measured in {len(site.spectra)} of {len(noise)} patches" if noise is not None else ""
    filled = f", {site.filled:.1%} void and filled" if site.filled else ""
    say(f"{config.dem}: {rows} x {cols} pixels of {site.pixel_m:.1f} m{filled}{measured}")
    return site


def _draw_preview(maker: Maker, made: dict[int, tuple[Panel, ...]], *, without: set[int]) -> None:
    from fringewatch.figures import contact_sheet

    config = maker.config
    wanted = range(1 if config.dates else min(PREVIEWED, config.count))
    indices = [index for index in wanted if index not in without]
    if not indices:
        return
    # Scenes of an earlier run are simulated again: their truth is not in a patch.
    panels = [panel for index in indices for panel in made.get(index) or maker.preview(index)]
    what = f"{config.dates} dates, pairs up to {config.max_days} days" if config.dates else f"{config.preset} scenes"
    place = f" at {maker.site.name}" if maker.site is not None else ""
    contact_sheet(config.out / "preview.png", panels, title=f"{what}{place}, seed {config.seed}")
