"""What the simulator draws as deformation: interpolated fields, ranges, topography, and mines averaged to pixels."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from fringewatch.config import Config
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, los_to_phase
from fringewatch.errors import ConfigError
from fringewatch.physics.coherence import multilook_phasor
from fringewatch.physics.geometry import look_vector, project_to_los
from fringewatch.physics.mining import Panel, advance_increment
from fringewatch.physics.sources import earthquake_dimensions, mogi, okada, penny_crack
from fringewatch.simulate import SceneSpec
from fringewatch.simulate.deformation import draw_deformation
from fringewatch.simulate.deformation.grid import nodes, upsample
from fringewatch.simulate.deformation.rectangle import rectangle
from fringewatch.simulate.deformation.source import Placed, Source, evaluate, probe
from fringewatch.simulate.deformation.troughs import Advance, Mine, multilook_troughs, unit_troughs

LOOK = look_vector(347.0, 39.0)
WIDE = {"fringes": (1e-9, 1e9)}


def small(**settings):
    return SceneSpec.build({"height_px": 64, "width_px": 64} | settings)


@pytest.mark.parametrize("step", [1, 3, 8])
def test_splines_through_nodes_keep_cubics_exactly(step):
    def surface(row, col):
        return 1 + 0.02 * row - 0.01 * col + 1e-4 * row * col - 1e-5 * row**3 + 2e-5 * col**2

    rows, cols = nodes(61, step), nodes(40, step)
    found = upsample(surface(rows[:, None], cols[None, :]), (61, 40), step)
    np.testing.assert_allclose(found, surface(np.arange(61)[:, None], np.arange(40)[None, :]), atol=2e-6)


def source_of(field, scale_m, trace=None):
    return Source(field, (1.0, 1.0), "volume_change_m3", scale_m, trace, {})


def every_pixel(place):
    return place.east_m(np.arange(float(place.shape[1]))[None, :]), place.north_m(
        np.arange(float(place.shape[0]))[:, None]
    )


PLACE = Placed((100, 120), 44.3, 71.8, 90.0)
RELIEF_M = np.abs(np.random.default_rng(0).normal(0, 400, PLACE.shape)).astype(np.float32)
POINT = source_of(lambda e, n, h: mogi(e, n, depth_m=1500 + h, volume_change_m3=1e6), 1500.0)
DEEP = source_of(lambda e, n, h: mogi(e, n, depth_m=6000 + h, volume_change_m3=1e7), 6000.0)
CRACK = source_of(lambda e, n, h: penny_crack(e, n, depth_m=2000 + h, radius_m=1500, pressure_pa=1e6), 2000.0)


def tabular(top_m, dip_deg, slip=(0.0, 0.0, 1.0)):
    return rectangle(
        top_m=top_m,
        strike_deg=35.0,
        dip_deg=dip_deg,
        length_m=2500.0,
        width_m=2000.0,
        slip=slip,
        strength=(1.0, 1.0),
        strength_name="opening_m",
        named={},
    )


@pytest.mark.parametrize(
    "source",
    [
        POINT,
        DEEP,
        CRACK,
        tabular(1200.0, 80.0),
        tabular(1200.0, 3.0),
        tabular(0.0, 75.0),
        tabular(150.0, 40.0, (1, 1, 0)),
    ],
    ids=["mogi", "deep", "crack", "dyke", "sill", "dyke to the surface", "shallow fault"],
)
def test_interpolated_fields_are_those_of_every_pixel(source):
    exact = project_to_los(source.field(*every_pixel(PLACE), 0.0), LOOK)
    found = evaluate(source, PLACE, LOOK)
    np.testing.assert_allclose(found, exact, atol=2e-3 * np.abs(exact).max())
    assert probe(source, PLACE, LOOK).peak_to_peak_m == pytest.approx(np.ptp(exact), rel=0.3)


@pytest.mark.parametrize(
    "source",
    [POINT, DEEP, tabular(1200.0, 80.0), tabular(0.0, 75.0)],
    ids=["mogi", "deep", "dyke", "dyke to the surface"],
)
def test_topography_takes_the_depth_at_every_pixel(source):
    exact = project_to_los(source.field(*every_pixel(PLACE), RELIEF_M.astype(float)), LOOK)
    found = evaluate(source, PLACE, LOOK, height_m=RELIEF_M)
    np.testing.assert_allclose(found, exact, atol=5e-3 * np.abs(exact).max())
    flat = evaluate(source, PLACE, LOOK)
    assert np.abs(flat - exact).max() > 0.1 * np.abs(exact).max()


def test_topography_of_a_crack_is_that_of_a_deeper_one():
    lifted = np.full(PLACE.shape, 700.0, np.float32)
    lifted[0, 0] = 0
    found = evaluate(CRACK, PLACE, LOOK, height_m=lifted)[1:]
    deeper = penny_crack(*every_pixel(PLACE), depth_m=2700, radius_m=1500, pressure_pa=1e6)
    exact = project_to_los(deeper, LOOK)[1:]
    np.testing.assert_allclose(found, exact, atol=2e-3 * np.abs(exact).max())


def test_uplift_nears_the_satellite_most_on_the_side_that_faces_it():
    """Ground west of an inflating source moves west, towards an ascending satellite, which stands in the west."""
    for heading, side in ((347.0, -1), (193.0, 1)):
        los = evaluate(POINT, PLACE, look_vector(heading, 39.0))
        _, col = np.unravel_index(los.argmax(), los.shape)
        assert np.sign(col - PLACE.col) == side
        assert los.max() > 0
        assert los_to_phase(los).min() < -np.pi


def test_upper_edge_of_a_rectangle_lies_where_its_trace_is():
    source = tabular(0.0, 60.0)
    strike, dip = np.radians(35), np.radians(60)
    # From the middle up the dip to the surface: to the left of the strike, by half the width.
    aside = 1000 * np.cos(dip)
    edge = np.array([source.trace.east_m, source.trace.north_m])
    assert edge == pytest.approx([-aside * np.cos(strike), aside * np.sin(strike)])
    # The opening lifts one side of the trace and not the other: the jump is there.
    across = np.array([-1.0, 1.0])
    east = source.trace.east_m + across * np.cos(strike)
    north = source.trace.north_m - across * np.sin(strike)
    up = source.field(east, north, 0.0).up_m
    assert abs(up[1] - up[0]) > 0.3
    assert source.trace.distance(east, north) == pytest.approx([1.0, 1.0])
    end_east, end_north = edge + (1250 + 300) * np.array([np.sin(strike), np.cos(strike)])
    assert source.trace.distance(end_east, end_north) == pytest.approx(300)


@pytest.mark.parametrize("kind", ["mogi", "penny-crack", "dyke", "sill"])
def test_magmatic_sources_repeat_from_their_parameters(kind):
    spec = small(magmatic={kind: 1.0}, sources=(1, 1))
    for seed in range(6):
        drawn = draw_deformation(np.random.default_rng(seed), spec, "volcano", 150.0, LOOK)
        assert drawn.phasor is None
        p = {key.removesuffix("_1"): value for key, value in drawn.parameters.items()}
        assert p["source"] == kind
        place = Placed((64, 64), p["row"], p["col"], 150.0)
        if kind == "mogi":
            moved = mogi(*every_pixel(place), depth_m=p["depth_m"], volume_change_m3=p["volume_change_m3"])
        elif kind == "penny-crack":
            names = ("depth_m", "radius_m", "pressure_pa", "shear_modulus_pa")
            moved = penny_crack(*every_pixel(place), **{name: p[name] for name in names})
        else:
            names = ("strike_deg", "dip_deg", "length_m", "width_m", "opening_m")
            depth = p["top_m"] + 0.5 * p["width_m"] * np.sin(np.radians(p["dip_deg"]))
            moved = okada(*every_pixel(place), depth_m=depth, **{name: p[name] for name in names})
        exact = project_to_los(moved, LOOK)
        np.testing.assert_allclose(drawn.los_m, exact, atol=2e-3 * np.abs(exact).max())
        assert p["peak_to_peak_los_m"] == pytest.approx(np.ptp(exact), rel=5e-3)


def test_scenes_hold_as_many_sources_as_drawn_and_add_them():
    spec = small(sources=(2, 2), magmatic={"mogi": 1.0})
    drawn = draw_deformation(np.random.default_rng(1), spec, "volcano", 150.0, LOOK)
    p = drawn.parameters
    assert p["sources"] == 2
    total = 0.0
    for n in (1, 2):
        place = Placed((64, 64), p[f"row_{n}"], p[f"col_{n}"], 150.0)
        moved = mogi(*every_pixel(place), depth_m=p[f"depth_m_{n}"], volume_change_m3=p[f"volume_change_m3_{n}"])
        total = total + project_to_los(moved, LOOK)
    np.testing.assert_allclose(drawn.los_m, total, atol=3e-3 * np.abs(total).max())


def test_topography_is_corrected_in_its_share_of_scenes_only():
    height = (500 + RELIEF_M[:64, :64]).astype(np.float32)
    for share, corrected in ((0.0, 0), (1.0, 1)):
        spec = small(topography_share=share, magmatic={"mogi": 1.0}, sources=(1, 1))
        drawn = draw_deformation(np.random.default_rng(3), spec, "volcano", 150.0, LOOK, height_m=height)
        p = drawn.parameters
        assert p["topography_correction"] == corrected
        place = Placed((64, 64), p["row_1"], p["col_1"], 150.0)
        depth = p["depth_m_1"] + corrected * (height - height.min()).astype(float)
        moved = mogi(*every_pixel(place), depth_m=depth, volume_change_m3=p["volume_change_m3_1"])
        exact = project_to_los(moved, LOOK)
        np.testing.assert_allclose(drawn.los_m, exact, atol=5e-3 * np.abs(exact).max())


@pytest.mark.parametrize("pixel_m", [20.0, 200.0, 600.0])
def test_penny_cracks_are_never_shallower_than_their_model(pixel_m):
    spec = small(magmatic={"penny-crack": 1.0}, sources=(1, 1), **WIDE)
    for seed in range(30):
        p = draw_deformation(np.random.default_rng(seed), spec, "volcano", pixel_m, LOOK).parameters
        assert 0.8 * p["radius_m_1"] <= p["depth_m_1"] <= 10_000
        assert 1000 <= p["radius_m_1"] <= 6000


# ---- mines ----


def advance(east_m=0.0, north_m=0.0, *, depth_m=400.0, factor=None, **panel):
    shape = {"length_m": 800.0, "width_m": 220.0, "azimuth_deg": 30.0, "tan_beta": 2.0} | panel
    return Advance(
        Panel(east_m=east_m, north_m=north_m, depth_m=depth_m, seam_thickness_m=1.0, subsidence_factor=1.0, **shape),
        advance_m_per_day=5.0,
        start_day=60.0,
        time_factor_per_day=factor,
    )


def direct_los(mine, shape, pixel_m, fine):
    """Motion at the points of the fine grid, without windows, nodes or splines."""
    cols, rows = (((np.arange(size * fine) + 0.5) / fine - 0.5) * pixel_m for size in shape[::-1])
    total = 0.0
    for one in mine.panels:
        moved = advance_increment(
            cols[None, :],
            -rows[:, None],
            one.panel,
            advance_m_per_day=one.advance_m_per_day,
            start_day=one.start_day,
            end_day=one.start_day + mine.days,
            time_factor_per_day=one.time_factor_per_day,
            horizontal_factor=mine.horizontal_factor,
        )
        total = total + project_to_los(moved, LOOK)
    return total


def block_mean(values, size):
    rows, cols = (n // size for n in values.shape)
    return values.reshape(rows, size, cols, size).mean(axis=(1, 3))


@pytest.mark.parametrize(("pixel_m", "fine"), [(12.0, 1), (20.0, 1), (33.0, 2), (90.0, 5)])
@pytest.mark.parametrize("factor", [None, 0.05])
def test_pixels_average_the_phase_of_the_fine_grid(pixel_m, fine, factor):
    shape = (64, 80)
    centre = (0.5 * shape[1] * pixel_m, -0.5 * shape[0] * pixel_m)
    mine = Mine(
        (
            advance(*centre, factor=factor),
            advance(centre[0] + 260, centre[1] - 90, depth_m=500.0, dip_deg=15.0, inflection_offset_m=40.0),
        ),
        days=12.0,
        horizontal_factor=0.32,
    )
    los_m, phasor = multilook_troughs(
        unit_troughs(mine, shape, pixel_m, LOOK), shape, largest_m=2.0, wavelength_m=SENTINEL1_WAVELENGTH_M
    )
    exact = 2.0 * direct_los(mine, shape, pixel_m, fine)
    peak = np.abs(exact).max()
    assert peak > 0.1
    np.testing.assert_allclose(los_m, block_mean(exact, fine), atol=1.5e-3 * peak)
    if fine == 1:
        assert phasor is None
    else:
        expected = block_mean(np.exp(1j * los_to_phase(exact)), fine)
        np.testing.assert_allclose(phasor, expected, atol=0.08)
        assert np.abs(phasor - expected).mean() < 0.01


def test_aliased_troughs_lose_coherence_and_quiet_ground_none():
    shape, pixel_m = (64, 64), 90.0
    mine = Mine((advance(2900.0, -2900.0),), days=24.0, horizontal_factor=0.32)
    troughs = unit_troughs(mine, shape, pixel_m, LOOK)
    _, phasor = multilook_troughs(troughs, shape, largest_m=2.5, wavelength_m=SENTINEL1_WAVELENGTH_M)
    kept = np.abs(phasor)
    assert kept.max() <= 1 + 1e-6
    assert kept.min() < 0.2
    assert (kept < 0.8).sum() < 60
    assert (phasor[:8] == 1).all()


def test_panels_outside_the_scene_leave_it_alone():
    mine = Mine((advance(-9000.0, 9000.0),), days=12.0, horizontal_factor=0.32)
    assert unit_troughs(mine, (64, 64), 50.0, LOOK) == []
    los_m, phasor = multilook_troughs([], (64, 64), largest_m=1.0, wavelength_m=SENTINEL1_WAVELENGTH_M)
    assert not los_m.any()
    assert phasor is None


def test_neighbouring_panels_share_a_window_and_distant_ones_do_not():
    near, far = advance(1000.0, -1000.0), advance(6000.0, -6000.0)
    beside = advance(1200.0, -1100.0)
    troughs = unit_troughs(Mine((near, far, beside), 12.0, 0.3), (80, 80), 90.0, LOOK)
    assert len(troughs) == 2


def looks_of(rng, coherence, count, pixels):
    """Products of pairs of circular Gaussian signals with a coherence: (pixels, count)."""

    def normals():
        return (rng.standard_normal((pixels, count)) + 1j * rng.standard_normal((pixels, count))) * np.sqrt(0.5)

    first, other = normals(), normals()
    return first * np.conj(coherence * first + np.sqrt(1 - coherence**2) * other)


@pytest.mark.parametrize(
    ("coherence", "agreement", "distance"), [(0.3, 0.1, 0.03), (0.7, 0.1, 0.045), (0.9, 0.25, 0.06)]
)
@pytest.mark.parametrize("span_rad", [0.0, 1.5, 3.0, 4.5, 2 * np.pi])
def test_one_draw_per_pixel_has_the_phase_of_noise_averaged_from_the_fine_grid(
    coherence, agreement, distance, span_rad
):
    """The justification of the shortcut: coherence times the phasor's modulus, with all looks of the pixel at once."""
    rng = np.random.default_rng(5)
    fine, looks_each, pixels = 3, 2, 6000
    ramp = ((np.arange(fine) + 0.5) / fine - 0.5) * span_rad
    phase = np.broadcast_to(ramp, (fine, fine)).ravel()
    # The literal way: noise with a few looks at each of the fine pixels, then the mean of the complex values.
    literal = np.zeros(pixels, complex)
    for value in phase:
        literal += np.exp(1j * value) * looks_of(rng, coherence, looks_each, pixels).sum(axis=1)
    phasor = np.exp(1j * phase).mean()
    kept = np.full(pixels, coherence * abs(phasor), np.float32)
    shortcut = multilook_phasor(kept, looks_each * fine**2, rng) * np.exp(1j * np.angle(phasor))
    literal_phase, shortcut_phase = np.angle(literal), np.angle(shortcut)
    assert literal_phase.std() == pytest.approx(shortcut_phase.std(), rel=agreement)
    # Chance alone gives two sets of 6000 draws 0.03 one time in a hundred; the rest is the noise across the
    # mean, of which the literal way has somewhat more.
    assert ks_2samp(literal_phase, shortcut_phase).statistic < distance
    # It tells: noise that ignores what the pixel averages differs a lot.
    if span_rad >= 3:
        careless = np.angle(multilook_phasor(np.full(pixels, coherence, np.float32), looks_each * fine**2, rng))
        assert ks_2samp(literal_phase, careless).statistic > 0.06


def test_thickness_and_subsidence_factor_make_up_the_trough():
    spec = small(panels=(1, 1), mining_pixel_size_m=(15, 15), longwall={"pim_share": 0.0})
    roofs = set()
    for seed in range(20):
        drawn = draw_deformation(np.random.default_rng(seed), spec, "mining", 15.0, LOOK)
        p = drawn.parameters
        roofs.add(p["roof"])
        low, high = (0.1, 0.3) if p["roof"] == "backfill" else (0.5, 0.9)
        assert low - 1e-9 <= p["subsidence_factor"] <= high + 1e-9
        assert 1 - 1e-9 <= p["seam_thickness_m"] <= 4 + 1e-9
        one = Advance(
            Panel(
                east_m=p["col_1"] * 15.0,
                north_m=-p["row_1"] * 15.0,
                length_m=p["length_m_1"],
                width_m=p["width_m_1"],
                azimuth_deg=p["azimuth_deg_1"],
                depth_m=p["depth_m_1"],
                seam_thickness_m=p["seam_thickness_m"],
                subsidence_factor=p["subsidence_factor"],
                tan_beta=p["tan_beta"],
            ),
            p["advance_m_per_day_1"],
            p["start_day_1"],
            p["time_factor_per_day_1"] or None,
        )
        exact = direct_los(Mine((one,), p["interval_days"], p["horizontal_factor"]), (64, 64), 15.0, 1)
        np.testing.assert_allclose(drawn.los_m, exact, atol=2e-3 * np.abs(exact).max())
    assert roofs == {"backfill", "caving"}


def test_shares_of_method_and_roof_can_be_forced():
    spec = small(panels=(3, 3), longwall={"pim_share": 1.0, "backfill_share": 1.0})
    for seed in range(5):
        p = draw_deformation(np.random.default_rng(seed), spec, "mining", 30.0, LOOK).parameters
        assert (p["method"], p["roof"]) == ("pim", "backfill")
        # Its panels dip one way, so they run one way.
        assert len({p[f"azimuth_deg_{n}"] for n in (1, 2, 3)}) == 1
        assert 0 <= p["seam_dip_deg"] <= 25
        assert 0.05 <= p["seam_inflection_over_depth"] <= 0.15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mogi": {"depth_m": (-100, 500)}}, r"mogi.depth_m.*starts at or below 0; allowed: values above 0"),
        ({"mogi": {"depth_m": (500, 100)}}, r"runs backwards; write \(smallest, largest\)"),
        ({"mogi": {"depth_m": (float("nan"), 100)}}, r"runs backwards"),
        ({"dyke": {"top_m": (-5, 500)}}, r"dyke.top_m.*allowed: 0 to inf \(no negative values\)"),
        ({"dyke": {"dip_deg": (80, 100)}}, r"allowed: 0 to 90 \(degrees, horizontal to vertical\)"),
        ({"sill": {"opening_m": (0, 1)}}, r"sill.opening_m.*starts at or below 0"),
        ({"earthquake": {"magnitude": (3, 6)}}, r"allowed: 4 to 8 \(as the scaling laws take them\)"),
        ({"longwall": {"seam_thickness_m": (-1, 2)}}, r"seam_thickness_m.*starts at or below 0"),
        ({"longwall": {"caving_factor": (0.5, 1.5)}}, r"caving_factor.*allowed: 0 to 1 \(a share of the whole\)"),
        ({"longwall": {"seam_dip_deg": (0, 80)}}, r"allowed: 0 to 60 \(degrees, as the mining model takes them\)"),
        (
            {"penny_crack": {"radius_m": (3000, 5000), "depth_m": (800, 2000)}},
            r"depth_m ends at 2000, too shallow for any radius from 3000; allowed: an end of at least 2400 \(0.8 times",
        ),
        (
            {"longwall": {"depth_m": (100, 300), "width_m": (150, 500), "seam_dip_deg": (0, 60)}},
            r"depth_m starts at 100, where the widest panel of the steepest seam reaches the surface; .* more than 240",
        ),
        ({"penny_crack": {"radius": (1, 2)}}, r"unknown key 'penny_crack.radius'"),
    ],
)
def test_impossible_ranges_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SceneSpec.build(settings)


@pytest.fixture(scope="module")
def drawn():
    """Parameters of many sources, by the name of their ranges, from scenes so wide that their size limits nothing."""
    base = {"height_px": 32, "width_px": 32, "sources": (1, 1), "panels": (1, 1), **WIDE}
    spec = SceneSpec.build(base | {"longwall": {"partial_share": 0.3}})
    found = {}
    for kind, pixel_m, count in (("volcano", 1000.0, 500), ("earthquake", 4000.0, 250), ("mining", 100.0, 200)):
        for seed in range(count):
            parameters = draw_deformation(np.random.default_rng(seed), spec, kind, pixel_m, LOOK).parameters
            one = {key.removesuffix("_1"): value for key, value in parameters.items()}
            source = one["source"].replace("-", "_")
            if source == "earthquake":
                median = earthquake_dimensions(one["magnitude"], style=one["style"], law=one["scaling_law"])
                one["slip_over_median"] = one["slip_m"] / median.slip_m
                one[f"{one['style'].replace('-', '_')}_dip_deg"] = one["dip_deg"]
            if source == "longwall":
                one[f"{one['roof']}_factor"] = one["subsidence_factor"]
                one["inflection_over_depth"] = one.get("seam_inflection_over_depth")
                one["dip_propagation"] = one.get("seam_dip_propagation")
                one["time_factor_per_day"] = one["time_factor_per_day"] or None
            found.setdefault(source, []).append(one)
    spec = SceneSpec.build(base | {"longwall": {"small_share": 1.0}})
    for seed in range(100):
        parameters = draw_deformation(np.random.default_rng(seed), spec, "mining", 20.0, LOOK).parameters
        found["longwall"].append(
            {f"small_{name}": parameters[f"{name}_1"] for name in ("depth_m", "width_m", "length_m")}
        )
    return found


RANGES = [
    (source, name)
    for source, ranges in ((key, getattr(SceneSpec(), key)) for key in SceneSpec.model_fields)
    # Clutter is no source.
    if isinstance(ranges, Config) and source != "clutter"
    for name in type(ranges).model_fields
    # Of a single panel no pillar is left.
    if isinstance(getattr(ranges, name), tuple) and name != "pillar_m"
]


@pytest.mark.parametrize(("source", "name"), RANGES)
def test_sources_fill_their_ranges_and_do_not_leave_them(drawn, source, name):
    ranges = getattr(SceneSpec(), source)
    field = type(ranges).model_fields[name]
    values = np.abs([one[name] for one in drawn[source] if one.get(name) is not None])
    low, high = getattr(ranges, name)
    if source == "longwall" and name.endswith("depth_m"):
        low, high = 0.9 * low, 1.1 * high
    if "log-uniform" in field.description:
        low, high, values = np.log(low), np.log(high), np.log(values)
    slack = 1e-6 * (high - low)
    assert low - slack <= values.min() <= low + 0.15 * (high - low)
    assert high - 0.15 * (high - low) <= values.max() <= high + slack
