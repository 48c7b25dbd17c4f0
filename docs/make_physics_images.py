"""Draw the pictures of the page on physics, docs/images/physics-*.png, from the functions that it explains.

python docs/make_physics_images.py                 all of them
python docs/make_physics_images.py sources mining  those named

``gallery-PRESET`` is what ``fringewatch simulate --preview`` writes, smaller.
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase, wrap
from fringewatch.physics import atmosphere, coherence, terrain
from fringewatch.physics.displacement import Displacement
from fringewatch.physics.filtering import goldstein
from fringewatch.physics.geometry import ASCENDING_HEADING_DEG, DESCENDING_HEADING_DEG, look_vector, project_to_los
from fringewatch.physics.mining import Panel, advance_increment
from fringewatch.physics.sources import earthquake_dimensions, mogi, okada, penny_crack
from fringewatch.simulate.deformation.sheet import draw_sheet
from fringewatch.simulate.deformation.troughs import Advance, Mine, multilook_troughs, unit_troughs
from fringewatch.simulate.ranges import SheetRanges
from fringewatch.simulate.spec import SceneSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


ASCENDING = look_vector(ASCENDING_HEADING_DEG, 39.0)
DESCENDING = look_vector(DESCENDING_HEADING_DEG, 39.0)
UP, OUT, THIRD = "#3b5bdb", "#d1495b", "#2b8a3e"
INK = "#22282e"
IMAGES = Path(__file__).parent / "images"
# A page of many pictures should open fast: a palette has fewer colours than the eye tells apart here.
COLOURS = 256


def _grid(half_m: float, count: int = 201) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axis = np.linspace(-half_m, half_m, count)
    return axis[None, :], axis[::-1, None]


def _figure(columns: int, rows: int, *, width: float = 2.5, height: float = 2.6) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width * columns, height * rows), dpi=90, layout="constrained")
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False))
    return figure, axes


def _phase(axis: Any, los_m: NDArray[np.floating], half_m: float, title: str = "") -> None:
    km = half_m / 1e3
    phase = wrap(los_to_phase(np.asarray(los_m, np.float64)))
    axis.imshow(phase, cmap="twilight", vmin=-np.pi, vmax=np.pi, extent=(-km, km, -km, km), interpolation="nearest")
    _plain(axis, title)


def _plain(axis: Any, title: str) -> None:
    axis.set_title(title, fontsize=9, color=INK)
    axis.tick_params(labelsize=7, length=2)


def _profile(axis: Any, half_m: float, field: Callable[[Any, Any], Displacement], azimuth_deg: float = 90.0) -> None:
    along = np.linspace(-half_m, half_m, 600)
    sin, cos = np.sin(np.radians(azimuth_deg)), np.cos(np.radians(azimuth_deg))
    moved = field(along * sin, along * cos)
    axis.axhline(0, color="#adb5bd", linewidth=0.8)
    axis.plot(along / 1e3, 100 * moved.up_m, color=UP, label="up")
    axis.plot(along / 1e3, 100 * (moved.east_m * sin + moved.north_m * cos), "--", color=OUT, label="along the profile")
    axis.set_xlabel("distance (km)", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.margins(x=0)


def los() -> Figure:
    """Draw one source as both tracks see it."""
    figure, axes = _figure(3, 1)
    east, north = _grid(8e3)
    moved = mogi(east, north, depth_m=2.5e3, volume_change_m3=8e6)
    _phase(axes[0, 0], project_to_los(moved, ASCENDING), 8e3, "ascending, satellite in the west")
    _phase(axes[0, 1], project_to_los(moved, DESCENDING), 8e3, "descending, satellite in the east")
    axis = axes[0, 2]
    x = np.linspace(-8e3, 8e3, 400)
    profile = mogi(x, 0.0, depth_m=2.5e3, volume_change_m3=8e6)
    for look, colour, name in ((ASCENDING, UP, "ascending"), (DESCENDING, OUT, "descending")):
        axis.plot(x / 1e3, 100 * project_to_los(profile, look), color=colour, label=name)
    axis.plot(x / 1e3, 100 * profile.up_m, ":", color=INK, label="up")
    axis.set_ylabel("cm towards the satellite", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.tick_params(labelsize=7)
    axis.margins(x=0)
    _plain(axis, "west to east through the source")
    return figure


def sources() -> Figure:
    """Phase and profile of each magmatic source."""
    cases: list[tuple[str, Callable[[Any, Any], Displacement]]] = [
        ("point source\n3 km deep, 5e6 m³", lambda e, n: mogi(e, n, depth_m=3e3, volume_change_m3=5e6)),
        (
            "penny crack\nradius 3 km, 3 km deep, 5e6 m³",
            lambda e, n: penny_crack(e, n, depth_m=3e3, radius_m=3e3, volume_change_m3=5e6),
        ),
        ("sill\n4 x 3 km, 2 km deep, 0.4 m", lambda e, n: _rectangle(e, n, 2e3, 5.0, 4e3, 3e3, opening_m=0.4)),
        ("sheet with lobes\n1.2 km deep, 0.3 m", _sheet),
        (
            "dyke\n0.5 km deep, dip 80°, 0.8 m",
            lambda e, n: _rectangle(e, n, 500.0, 80.0, 4e3, 3e3, opening_m=0.8),
        ),
    ]
    figure, axes = _figure(len(cases), 2, width=2.35, height=2.3)
    east, north = _grid(9e3)
    for (title, field), upper, lower in zip(cases, *axes, strict=True):
        _phase(upper, project_to_los(field(east, north), ASCENDING), 9e3, title)
        _profile(lower, 9e3, field, 110.0)
    axes[1, 0].set_ylabel("cm", fontsize=8)
    axes[1, 0].legend(fontsize=7, frameon=False)
    return figure


def _sheet(east: Any, north: Any) -> Displacement:
    shape = SheetRanges(
        half_width_m=(2900, 3000), aspect=(1.4, 1.5), depth_over_half_width=(0.38, 0.4), lobes=(0.29, 0.3)
    )
    source = draw_sheet(np.random.default_rng(4), SceneSpec(sheet=shape), 20e3)
    field = source.field(np.asarray(east, float), np.asarray(north, float), 0.0)
    return Displacement(*(0.3 * component for component in field))


def _rectangle(
    east: Any, north: Any, top: float, dip: float, length: float, width: float, **slip: float
) -> Displacement:
    depth = top + 0.5 * width * np.sin(np.radians(dip))
    return okada(east, north, depth_m=depth, strike_deg=20.0, dip_deg=dip, length_m=length, width_m=width, **slip)


def earthquakes() -> Figure:
    """Three styles of faulting from both tracks."""
    styles = (("strike-slip", 88.0, 0.0), ("reverse", 35.0, 90.0), ("normal", 55.0, -90.0))
    figure, axes = _figure(3, 2, width=2.6, height=2.4)
    east, north = _grid(30e3)
    for column, (style, dip, rake) in enumerate(styles):
        size = earthquake_dimensions(6.2, style=style)  # type: ignore[arg-type]  # one of the three styles
        slip = {
            "strike_slip_m": size.slip_m * np.cos(np.radians(rake)),
            "dip_slip_m": size.slip_m * np.sin(np.radians(rake)),
        }
        moved = _rectangle(east, north, 2e3, dip, size.length_m, size.width_m, **slip)
        title = f"{style}, dip {dip:g}°, slip {size.slip_m:.2f} m"
        _phase(axes[0, column], project_to_los(moved, ASCENDING), 30e3, title)
        _phase(axes[1, column], project_to_los(moved, DESCENDING), 30e3)
    axes[0, 0].set_ylabel("ascending", fontsize=9)
    axes[1, 0].set_ylabel("descending", fontsize=9)
    return figure


def topography() -> Figure:
    """Draw what the varying depth changes under a cone."""
    figure, axes = _figure(3, 1)
    count, half = 201, 8e3
    height = terrain.add_cone(
        np.zeros((count, count), np.float32), 2 * half / count, row=100.0, col=100.0, summit_m=2500.0, radius_m=7e3
    )
    east, north = _grid(half, count)
    flat = mogi(east, north, depth_m=2e3, volume_change_m3=8e6)
    high = mogi(east, north, depth_m=2e3 + height.astype(float), volume_change_m3=8e6)
    _phase(axes[0, 0], project_to_los(flat, ASCENDING), half, "flat ground")
    _phase(axes[0, 1], project_to_los(high, ASCENDING), half, "under a cone of 2.5 km")
    axis = axes[0, 2]
    x = east[0] / 1e3
    axis.plot(x, 100 * flat.up_m[100], color=UP, label="uplift, flat")
    axis.plot(x, 100 * high.up_m[100], color=OUT, label="uplift, corrected")
    axis.set_ylabel("cm", fontsize=8)
    axis.legend(fontsize=7, frameon=False, loc="upper right")
    other = axis.twinx()
    other.fill_between(x, height[100] / 1e3, color="#ced4da", alpha=0.6)
    other.set(ylim=(0, 8), yticks=[0, 1, 2])
    other.tick_params(labelsize=7)
    other.set_ylabel("height (km)", fontsize=8, loc="bottom")
    _plain(axis, "west to east")
    return figure


def mining() -> Figure:
    """Trough of an advancing face: profile, increments, horizontal motion, and the time factor."""
    figure, axes = _figure(3, 1, width=3.1, height=2.7)
    x = np.linspace(-900, 500, 500)
    wide = Panel(length_m=4e3, width_m=4e3, azimuth_deg=90.0, depth_m=600.0, seam_thickness_m=2.0, east_m=-2000.0)
    axis = axes[0, 0]
    for days, colour in ((12, UP), (6, THIRD)):
        moved = advance_increment(
            x, 0 * x, wide, advance_m_per_day=4.0, start_day=1000.0 - days, end_day=1000.0, horizontal_factor=0.0
        )
        axis.plot(x, 100 * moved.up_m, color=colour, label=f"{days} days: {-100 * moved.up_m.min():.1f} cm")
    moved = advance_increment(x, 0 * x, wide, advance_m_per_day=4.0, start_day=988.0, end_day=1000.0)
    axis.plot(x, 100 * moved.east_m, "--", color=OUT, label="horizontal, 12 days")
    axis.axvline(0, color="#adb5bd", linewidth=0.8)
    axis.set_xlabel("distance from the face (m)", fontsize=8)
    axis.set_ylabel("cm", fontsize=8)
    axis.legend(fontsize=7, frameon=False, loc="lower left")
    _plain(axis, "H 600 m, a 0.8, g 2 m, 4 m/day")
    axis = axes[0, 1]
    for factor, colour in ((None, INK), (0.1, UP), (0.03, OUT)):
        moved = advance_increment(
            x,
            0 * x,
            wide,
            advance_m_per_day=4.0,
            start_day=988.0,
            end_day=1000.0,
            time_factor_per_day=factor,
            horizontal_factor=0.0,
        )
        axis.plot(x, 100 * moved.up_m, color=colour, label="at once" if factor is None else f"c = {factor:g} per day")
    axis.set_xlabel("distance from the face (m)", fontsize=8)
    axis.legend(fontsize=7, frameon=False, loc="lower left")
    _plain(axis, "Knothe's time factor, 12 days")
    axis = axes[0, 2]
    panel = Panel(length_m=1200, width_m=250, azimuth_deg=60.0, depth_m=500.0, seam_thickness_m=1.2)
    beside = Panel(
        length_m=1000, width_m=250, azimuth_deg=60.0, depth_m=500.0, seam_thickness_m=1.2, east_m=-150, north_m=260
    )
    east, north = _grid(1000.0)
    moved = [
        advance_increment(east, north, one, advance_m_per_day=5.0, start_day=start, end_day=start + 12)
        for one, start in ((panel, 110.0), (beside, 60.0))
    ]
    _phase(axis, sum(project_to_los(one, ASCENDING) for one in moved), 1000.0, "two panels, 12 days")
    return figure


def multilook() -> Figure:
    """Draw one mine in products of several pixel sizes."""
    figure, axes = _figure(4, 2, width=2.2, height=2.25)
    rng = np.random.default_rng(4)
    extent = 2160.0
    for column, pixel in enumerate((10.0, 30.0, 60.0, 90.0)):
        size = int(extent / pixel)
        centre = 0.5 * (size - 1) * pixel
        shape = {"length_m": 1000.0, "width_m": 220.0, "azimuth_deg": 60.0, "depth_m": 450.0}
        mine = Mine(
            tuple(
                Advance(
                    Panel(
                        east_m=centre + east,
                        north_m=-centre + north,
                        seam_thickness_m=1.0,
                        subsidence_factor=1.0,
                        **shape,
                    ),
                    5.0,
                    start,
                    None,
                )
                for east, north, start in ((150.0, -250.0, 90.0), (-50.0, 250.0, 80.0))
            ),
            12.0,
            0.32,
        )
        los_m, phasor = multilook_troughs(
            unit_troughs(mine, (size, size), pixel, ASCENDING),
            (size, size),
            largest_m=0.9,
            wavelength_m=SENTINEL1_WAVELENGTH_M,
        )
        if phasor is None:
            phase = los_to_phase(los_m.astype(np.float64))
            grad_y, grad_x = np.gradient(phase)
            phasor = np.exp(1j * phase) * np.abs(np.sinc(grad_x / (2 * np.pi)) * np.sinc(grad_y / (2 * np.pi)))
        kept = (0.75 * np.abs(phasor)).astype(np.float32)
        looks = max(2.0, (pixel / 14) ** 2)
        noisy = phasor * coherence.multilook_phasor(kept, looks, rng)
        upper, lower = axes[:, column]
        upper.imshow(np.angle(noisy), cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest")
        image = lower.imshow(kept, cmap="gray", vmin=0, vmax=0.75, interpolation="nearest")
        _plain(upper, f"{pixel:g} m pixels")
        for axis in (upper, lower):
            axis.set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("phase", fontsize=9)
    axes[1, 0].set_ylabel("coherence", fontsize=9)
    figure.colorbar(image, ax=axes[1, -1], shrink=0.8).ax.tick_params(labelsize=7)
    return figure


def ground() -> Figure:
    """Fractal surface, cones, caldera and valley, shaded."""
    figure, axes = _figure(5, 1, width=2.0, height=2.2)
    shape, pixel = (200, 200), 80.0
    rng = np.random.default_rng(2)
    plain = terrain.fractal_terrain(shape, pixel, rng, relief_m=900.0)
    low = terrain.fractal_terrain(shape, pixel, rng, relief_m=300.0)
    cone = terrain.add_cone(low, pixel, row=100, col=100, summit_m=2500, radius_m=6e3, crater_radius_m=300)
    eroded = terrain.add_cone(
        low,
        pixel,
        row=100,
        col=100,
        summit_m=2500,
        radius_m=6e3,
        crater_radius_m=300,
        erosion=terrain.Erosion.draw(rng),
    )
    caldera = terrain.add_caldera(cone, pixel, row=100, col=100, radius_m=2e3, depth_m=700)
    valley = terrain.add_valley(plain, pixel, row=90, col=90, azimuth_deg=60.0, width_m=2e3, depth_m=600)
    for axis, (title, height) in zip(
        axes[0],
        (("fractal", plain), ("cone, crater", cone), ("eroded", eroded), ("caldera", caldera), ("valley", valley)),
        strict=True,
    ):
        grad_y, grad_x = np.gradient(height, pixel)
        shade = (1 - grad_x - grad_y) / np.sqrt(1 + grad_x**2 + grad_y**2)
        axis.imshow(shade, cmap="gray", vmin=0.3, vmax=1.6)
        axis.contour(height, levels=8, colors=UP, linewidths=0.5, alpha=0.7)
        _plain(axis, f"{title}, {np.ptp(height):.0f} m")
        axis.set(xticks=[], yticks=[])
    return figure


def air() -> Figure:
    """Turbulence of both laws and their spectra; stratified delay over a cone; ionosphere-like waves."""
    figure, axes = _figure(3, 2, width=2.7, height=2.5)
    shape, pixel = (256, 256), 90.0
    rng = np.random.default_rng(12)
    laws = (("three regimes", atmosphere.THREE_REGIMES, UP), ("smooth", atmosphere.SMOOTH, OUT))
    spectra = axes[0, 2]
    for axis, (title, law, colour) in zip(axes[0], laws, strict=False):
        fields = [atmosphere.turbulence((512, 512), 45.0, rng, std_m=0.01, power_law=law) for _ in range(6)]
        measured = [atmosphere.estimate_spectrum(field, 45.0) for field in fields]
        k = measured[0].wavenumber_per_m
        spectra.loglog(
            1e-3 / k, np.mean([one.power_m4 for one in measured], axis=0), ".", markersize=3, color=colour, label=title
        )
        axis.imshow(fields[0][::2, ::2], cmap="RdBu_r", vmin=-0.03, vmax=0.03)
        _plain(axis, f"turbulence, {title}")
    spectra.invert_xaxis()
    spectra.set_xticks([5, 1.5, 0.25], ["5", "1.5", "0.25"])
    spectra.minorticks_off()
    spectra.set_xlabel("wavelength (km)", fontsize=8)
    spectra.set_ylabel("m² per (1/m)²", fontsize=8)
    spectra.legend(fontsize=7, frameon=False)
    for edge_m in atmosphere.THREE_REGIMES.breaks_m:
        spectra.axvline(edge_m / 1e3, color="#adb5bd", linewidth=0.8)
    _plain(spectra, "power spectra")
    long = atmosphere.turbulence(shape, pixel, rng, std_m=0.01, spectrum="exponential", correlation_m=4e3)
    axes[1, 0].imshow(long, cmap="RdBu_r", vmin=-0.03, vmax=0.03)
    _plain(axes[1, 0], "exponential covariance, 4 km")
    height = terrain.add_cone(
        terrain.fractal_terrain(shape, pixel, rng, relief_m=500.0),
        pixel,
        row=128,
        col=128,
        summit_m=2800,
        radius_m=9e3,
        erosion=terrain.Erosion.draw(rng),
    )
    delay = atmosphere.stratified_delay(height, coefficient_m_per_m=3e-5, scale_height_m=2e3)
    axes[1, 1].imshow(wrap(los_to_phase(delay)), cmap="twilight", vmin=-np.pi, vmax=np.pi)
    _plain(axes[1, 1], "stratified delay on a cone, phase")
    waves = atmosphere.ionosphere(shape, pixel, rng, std_m=0.02, wavelength_m=25e3)
    axes[1, 2].imshow(wrap(los_to_phase(waves)), cmap="twilight", vmin=-np.pi, vmax=np.pi)
    _plain(axes[1, 2], "ionosphere-like waves, phase")
    for axis in (*axes[0, :2], *axes[1]):
        axis.set(xticks=[], yticks=[])
    return figure


def noise() -> Figure:
    """Phase noise against coherence, a coherence field, and what the Goldstein filter does."""
    figure, axes = _figure(4, 1, width=2.5, height=2.5)
    rng = np.random.default_rng(5)
    axis = axes[0, 0]
    values = np.linspace(0.0, 0.99, 60)
    for looks, colour in ((1, INK), (5, UP), (20, OUT)):
        curve = [coherence.interferometric_phase_std(float(value), looks) for value in values]
        axis.plot(values, curve, color=colour, label=f"{looks} look{'s' * (looks > 1)}")
        drawn = [
            coherence.multilook_phase_noise(np.full(20_000, value, np.float32), looks, rng).std()
            for value in values[::10]
        ]
        axis.plot(values[::10], drawn, "o", markersize=3, color=colour)
    axis.set_xlabel("coherence", fontsize=8)
    axis.set_ylabel("deviation of the phase (rad)", fontsize=8)
    axis.legend(fontsize=7, frameon=False)
    _plain(axis, "analytic (line), drawn (dot)")
    field = coherence.coherence_field((200, 200), 80.0, rng, mean=0.45, spread=1.2)
    axes[0, 1].imshow(field, cmap="gray", vmin=0, vmax=1)
    _plain(axes[0, 1], "coherence field")
    east, north = _grid(8e3, 200)
    phase = los_to_phase(project_to_los(mogi(east, north, depth_m=2.5e3, volume_change_m3=1.2e7), ASCENDING))
    noisy = (np.exp(1j * phase) * coherence.multilook_phasor(field, 6.0, rng)).astype(np.complex64)
    for axis, title, data in (
        (axes[0, 2], "its noise, 6 looks", noisy),
        (axes[0, 3], "Goldstein filter, 0.6", goldstein(noisy, 0.6)),
    ):
        axis.imshow(np.angle(data), cmap="twilight", vmin=-np.pi, vmax=np.pi, interpolation="nearest")
        _plain(axis, title)
    for axis in axes[0, 1:]:
        axis.set(xticks=[], yticks=[])
    return figure


def gallery(preset: str) -> Image.Image:
    """Return the contact sheet of a preset as the command writes it, smaller."""
    from fringewatch.simulate.run import SimulateConfig, run

    with tempfile.TemporaryDirectory() as folder:
        run(SimulateConfig(out=Path(folder), preset=preset, count=16, preview=True, seed=7))  # type: ignore[arg-type]
        sheet = Image.open(Path(folder) / "preview.png").convert("RGB")
    return sheet.resize((sheet.width * 57 // 100, sheet.height * 57 // 100), Image.Resampling.LANCZOS)


PICTURES: dict[str, Callable[[], Figure | Image.Image]] = {
    "los": los,
    "sources": sources,
    "earthquakes": earthquakes,
    "topography": topography,
    "mining": mining,
    "multilook": multilook,
    "terrain": ground,
    "atmosphere": air,
    "coherence": noise,
    "gallery-volcano": lambda: gallery("volcano"),
    "gallery-earthquake": lambda: gallery("earthquake"),
    "gallery-mining": lambda: gallery("mining"),
    "gallery-quiet": lambda: gallery("quiet"),
}
"""What draws each picture, by its name."""


def save(picture: Figure | Image.Image, path: Path) -> int:
    """Write a picture with a palette, and return its size in bytes."""
    if isinstance(picture, Figure):
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png")
        picture = Image.open(buffer)
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    return path.stat().st_size


def main(names: Sequence[str]) -> None:
    """Write the pictures that are named, or all."""
    unknown = set(names) - set(PICTURES)
    if unknown:
        sys.exit(f"no such picture: {', '.join(sorted(unknown))}; there are {', '.join(PICTURES)}")
    IMAGES.mkdir(exist_ok=True)
    for name in names or PICTURES:
        path = IMAGES / f"physics-{name}.png"
        sys.stdout.write(f"{path.name} {save(PICTURES[name](), path) / 1000:.0f} kB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
