"""Time series: networks of pairs close, the ground moves as the sources say, coherence is lost with time."""

import datetime as dt
import itertools
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fringewatch.config import Config
from fringewatch.conventions import los_to_phase, wrap
from fringewatch.errors import ConfigError
from fringewatch.physics.coherence import temporal_coherence
from fringewatch.physics.geometry import look_vector, project_to_los
from fringewatch.physics.mining import Panel, advance_increment
from fringewatch.simulate import SceneSpec, preset
from fringewatch.simulate.deformation.mining import draw_mine
from fringewatch.simulate.history import draw_history, draw_mining_history, multilook_between
from fringewatch.simulate.series import simulate_series
from fringewatch.simulate.site import Site

DATES = [dt.date(2021, 1, 5) + dt.timedelta(days=12 * number) for number in range(6)]
SMALL = {"height_px": 64, "width_px": 64, "nodata_share": 0.0, "goldstein_share": 0.0}


def series(kind="volcano", *, dates=DATES, seed=0, index=0, site=None, **settings):
    spec = SceneSpec.build(SMALL | {"kinds": {kind: 1.0}} | settings)
    return simulate_series(spec, seed=seed, index=index, dates=dates, site=site)


def closures(made):
    """Yield for every triangle how far its three pairs are from closing, and the least they keep of the coherence."""
    for first, second, third in itertools.combinations(range(len(DATES)), 3):
        pairs = [(first, second), (second, third), (first, third)]
        phases = [made.noiseless(*pair) for pair in pairs]
        multilooked = [made.multilooked(*pair) for pair in pairs]
        kept = np.min([np.ones(made.los_m[0].shape) if z is None else np.abs(z) for z in multilooked], axis=0)
        yield np.abs(wrap(phases[0] + phases[1] - phases[2])), kept


@pytest.mark.parametrize("kind", ["volcano", "earthquake", "mining", "quiet"])
def test_every_triangle_of_pairs_closes_before_noise(kind):
    made = series(kind, mining_pixel_size_m=(5, 20))
    assert max(closure.max() for closure, _ in closures(made)) < 1e-9


def test_mines_in_large_pixels_close_where_fringes_are_wide():
    """The motion adds up everywhere; its average in a pixel, seen as an angle, only where it keeps its coherence."""
    made = series("mining", mining_pixel_size_m=(95, 95), fringes=(15, 20), panels=(3, 3), seed=1)
    dense = []
    for closure, kept in closures(made):
        assert closure[kept > 0.999].max() < 1e-4
        assert closure[kept > 0.9].max() < 0.05
        assert closure[kept > 0.5].max() < 1
        dense.append(closure[kept < 0.2])
    assert np.median(np.concatenate(dense)) > 0.3
    for before, after in zip(made.troughs[1], made.troughs[4], strict=True):
        (third,) = (
            trough for trough in made.troughs[3] if (trough.rows, trough.columns) == (after.rows, after.columns)
        )
        steps = (third.nodes_m - before.nodes_m) + (after.nodes_m - third.nodes_m)
        np.testing.assert_allclose(steps, after.nodes_m - before.nodes_m, atol=1e-6)


def test_noise_does_not_close_and_is_small_where_coherence_is_high():
    made = series(coherence=(0.95, 0.95), looks=(40, 40), water_share=0.0)
    phases = {pair: made.interfere(*pair).phase.astype(float) for pair in [(0, 1), (1, 2), (0, 2)]}
    closure = wrap(phases[0, 1] + phases[1, 2] - phases[0, 2])
    assert 0.01 < np.sqrt(np.mean(closure**2)) < 1.2
    error = wrap(phases[0, 1] - made.noiseless(0, 1))
    assert np.sqrt(np.median(error**2)) < 0.2


@pytest.mark.parametrize("kind", ["volcano", "earthquake", "mining"])
def test_deformation_of_pairs_adds_up_and_starts_at_zero(kind):
    made = series(kind)
    assert not made.los_m[0].any()
    assert made.los_m[-1].any()
    steps = [made.interfere(number, number + 1).los_m for number in range(len(DATES) - 1)]
    np.testing.assert_allclose(sum(steps), made.los_m[-1], atol=1e-6)


def test_ground_that_never_turns_back():
    """A source of one sign keeps it from date to date, at every pixel that moves at all."""
    made = series("earthquake", seed=3)
    final = made.los_m[-1]
    moving = np.abs(final) > 0.1 * np.abs(final).max()
    share = made.los_m[:, moving] / final[moving]
    assert (np.diff(share, axis=0) > -1e-4).all()
    np.testing.assert_allclose(share.min(axis=1), share.max(axis=1), atol=1e-4)


@pytest.mark.parametrize("kind", ["volcano", "earthquake"])
def test_histories_run_from_nothing_to_all(kind):
    days = np.arange(0, 200, 12.0)
    styles = set()
    for seed in range(40):
        reached, drawn = draw_history(np.random.default_rng(seed), kind, days)
        assert reached[0] == 0
        assert reached[-1] == pytest.approx(1)
        assert (np.diff(reached) >= -1e-12).all()
        styles.add(drawn["history"])
        if drawn["history"] == "event":
            before = days < drawn["onset_day"]
            assert not reached[before].any()
            assert reached[~before].min() >= 1 - drawn.get("afterslip_share", 0) - 1e-9
    assert styles == ({"event"} if kind == "earthquake" else {"steady", "decaying", "episode", "event"})


def los_of_mine(spec, seed, pixel_m, days):
    """Draw a mine and return its LOS motion since the first date, (dates, H, W), and what was drawn."""
    shape = (spec.height_px, spec.width_px)
    history, drawn = draw_mining_history(np.random.default_rng(seed), spec, pixel_m, look_vector(347.0, 35.0), days)
    maps = [multilook_between(history[0], moved, shape, wavelength_m=spec.wavelength_m)[0] for moved in history]
    return np.stack(maps), drawn


def test_a_mine_sinks_and_its_bowl_moves_with_the_face():
    spec = SceneSpec.build(SMALL | {"panels": (1, 1), "fringes": (5, 20)})
    days = np.arange(0, 100, 12.0)
    los_m, drawn = los_of_mine(spec, 5, 30.0, days)
    depth = -los_m.min(axis=(1, 2))
    assert depth[-1] > 0.02
    assert (np.diff(depth) >= -1e-6).all()
    rows, cols = np.mgrid[:64, :64]

    def along(pair):
        weight = np.clip(los_m[pair[0]] - los_m[pair[1]], 0, None)
        azimuth = np.radians(drawn["azimuth_deg_1"])
        position = cols * np.sin(azimuth) - rows * np.cos(azimuth)
        return (weight * position).sum() / weight.sum()

    advanced_px = drawn["advance_m_per_day_1"] * (days[-2] - days[0]) / 30.0
    assert 0 < along((-2, -1)) - along((0, 1)) < 1.5 * advanced_px


@pytest.mark.parametrize("pim_share", [0, 1])
@pytest.mark.parametrize("pixel_m", [15.0, 70.0])
def test_the_first_and_the_last_date_show_what_a_single_scene_shows(pixel_m, pim_share):
    """The history takes the panels from what a scene tells of them: nothing may be lost on the way."""
    longwall = {"pim_share": pim_share, "after_share": 0.5, "long_share": 0.0}
    spec = SceneSpec.build(SMALL | {"panels": (2, 4), "interval_days": (60, 60), "longwall": longwall})
    look = look_vector(193.0, 38.0)
    for seed in range(4):
        scene = draw_mine(np.random.default_rng(seed), spec, pixel_m, look)
        history, drawn = draw_mining_history(np.random.default_rng(seed), spec, pixel_m, look, np.array([0, 24, 60.0]))
        ends = (history[0], history[-1])
        los_m, phasor = multilook_between(*ends, (64, 64), wavelength_m=spec.wavelength_m)
        np.testing.assert_allclose(los_m, scene.los_m, atol=1e-5)
        assert (phasor is None) == (scene.phasor is None) == (pixel_m == 15.0)
        if phasor is not None:
            np.testing.assert_allclose(phasor, scene.phasor, atol=2e-3)
        assert drawn.items() <= scene.parameters.items()


def test_pixels_of_pairs_average_a_mine_as_complex_numbers():
    """Against the literal way: every point of a grid five times as fine as pixels of 95 m, and their mean."""
    longwall = {"pim_share": 0.0}
    made = series(
        "mining", mining_pixel_size_m=(95, 95), fringes=(15, 20), coherence=(0.6, 0.6), longwall=longwall, seed=1
    )
    drawn, fine = made.parameters, 5
    place = 95.0 * ((np.arange(64 * fine) + 0.5) / fine - 0.5)
    first, second = 1, 4
    days = [(date - made.dates[0]).days for date in made.dates]
    los_m = np.zeros((64 * fine, 64 * fine))
    for number in range(1, drawn["panels"] + 1):
        panel = Panel(
            east_m=95.0 * drawn[f"col_{number}"],
            north_m=-95.0 * drawn[f"row_{number}"],
            **{key: drawn[f"{key}_{number}"] for key in ("length_m", "width_m", "azimuth_deg", "depth_m")},
            **{key: drawn[key] for key in ("tan_beta", "subsidence_factor", "seam_thickness_m")},
        )
        start = drawn[f"start_day_{number}"]
        moved = advance_increment(
            place[None, :],
            -place[:, None],
            panel,
            advance_m_per_day=drawn[f"advance_m_per_day_{number}"],
            start_day=start + days[first],
            end_day=start + days[second],
            time_factor_per_day=drawn[f"time_factor_per_day_{number}"] or None,
            horizontal_factor=drawn["horizontal_factor"],
        )
        los_m += project_to_los(moved, made.look)
    expected = np.exp(1j * los_to_phase(los_m)).reshape(64, fine, 64, fine).mean(axis=(1, 3))
    # There is something to average: the phase at the centre is another, and most of the coherence is lost.
    centre = np.exp(1j * los_to_phase(los_m[fine // 2 :: fine, fine // 2 :: fine]))
    assert np.abs(expected).min() < 0.2
    assert np.abs(expected - centre).max() > 0.8

    fading = temporal_coherence(days[second] - days[first] - 12, tau_days=made.tau_days)
    before = made.shortest_coherence * (made.lasting + (1 - made.lasting) * fading)
    air = made.delay_rad[second] - made.delay_rad[first].astype(float)
    seen = made.coherence(first, second) / before * np.exp(1j * (made.noiseless(first, second) - air))
    assert np.abs(seen - expected).max() < 0.05
    np.testing.assert_array_equal(made.interfere(first, second).coherence, made.coherence(first, second))
    means = los_m.reshape(64, fine, 64, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(made.interfere(first, second).los_m, means, atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_pixel_size_does_not_tell_quiet_series(share):
    """As in single scenes, so many quiet series have the pixel sizes of mines."""
    spec = preset("mining", height_px=32, width_px=32, quiet_mining_share=share)
    sizes = {"quiet": [], "mining": []}
    for index in range(60):
        made = simulate_series(spec, seed=0, index=index, dates=DATES[:2])
        sizes[made.kind].append(made.pixel_m)
    smallest, largest = spec.pixel_size_m
    like_mines = np.mean(np.array(sizes["quiet"]) < smallest)
    # Of sizes of mines, log-uniform from 5 to 100 m, five in six are below 60 m.
    assert abs(like_mines - share * 0.83) < 0.2
    assert min(sizes["mining"]) < 20
    assert max(sizes["quiet"]) <= largest
    if share == 1:
        assert min(sizes["quiet"]) < 20
        assert max(sizes["quiet"]) < spec.mining_pixel_size_m[1]


def test_sea_and_seams():
    made = series("quiet", sea_share=1.0, seam_share=1.0, water_share=0.0, coherence=(0.6, 0.9))
    sea = made.shortest_coherence == np.float32(0.02)
    assert sea.mean() == pytest.approx(made.parameters["sea_share"])
    assert 0.1 < sea.mean() < 0.85
    assert made.height_m[sea].max() < made.height_m[~sea].min()
    assert all("seam_rad" in drawn for drawn in made.acquisitions)
    site = Site("here.tif", made.height_m, 80.0, track="desc")
    assert "sea_share" not in series("quiet", site=site, sea_share=1.0).parameters

    calm = {"turbulence_m": (1e-6, 1e-6), "stratified_std_m_per_km": 0.0, "relief_m": (1, 1)}
    none = ("ramp_share", "steep_ramp_share", "ionosphere_share", "topographic_residual_share")
    made = series("quiet", seam_share=1.0, **calm, **dict.fromkeys(none, 0.0))
    for delay, drawn in zip(made.delay_rad, made.acquisitions, strict=True):
        # Both sides are level, and apart by the step.
        levels = np.unique(np.round(delay - delay[0, 0], 1))
        assert len(levels) <= 3
        assert np.ptp(delay) == pytest.approx(abs(drawn["seam_rad"]), abs=0.1)


def leaves(spec, prefix=""):
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        if isinstance(value, Config):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def with_field(spec, path, value):
    name, _, rest = path.partition(".")
    value = with_field(getattr(spec, name), rest, value) if rest else value
    return spec.model_copy(update={name: value})


def other(value):
    """Return another value of a field, one that is allowed."""
    if isinstance(value, dict):
        return {next(iter(value)): 1.0}
    if isinstance(value, tuple):
        return (value[1],) * 2 if isinstance(value[0], int) else (0.5 * (value[0] + value[1]),) * 2
    return value + 16 if isinstance(value, int) else 0.5 * value


def population():
    """Return a population in which everything occurs: each share is some."""
    spec = SceneSpec(height_px=32, width_px=32, kinds=dict.fromkeys(["volcano", "earthquake", "mining", "quiet"], 1.0))
    for path, _ in leaves(spec):
        if path.endswith("_share"):
            spec = with_field(spec, path, 0.3)
    return spec


def fingerprint(spec, index):
    made = simulate_series(spec, seed=3, index=index, dates=DATES[:3])
    arrays = (made.los_m, made.delay_rad, made.shortest_coherence, made.missing, made.interfere(0, 2).phase)
    return (repr((made.parameters, made.acquisitions)), *(array.tobytes() for array in arrays))


EVERYTHING = population()
expected_fingerprint = cache(lambda index: fingerprint(EVERYTHING, index))

IGNORED = {
    *("interval_days", "longwall.long_share", "low_snr_share", "low_snr", "min_visibility", "min_visible_px"),
    *("styles", "clutter", "real_noise_share", "superposed_noise_share"),
}
FIELDS = dict(leaves(EVERYTHING))


def is_ignored(path):
    return path in IGNORED or path.partition(".")[0] in IGNORED


@pytest.mark.parametrize("path", [path for path in FIELDS if is_ignored(path)])
def test_settings_that_series_ignore_change_nothing(path):
    spec = with_field(EVERYTHING, path, other(FIELDS[path]))
    assert spec != EVERYTHING
    assert all(fingerprint(spec, index) == expected_fingerprint(index) for index in range(12))


@pytest.mark.parametrize("path", [path for path in FIELDS if not is_ignored(path)])
def test_every_other_setting_changes_some_series(path):
    spec = with_field(EVERYTHING, path, other(FIELDS[path]))
    SceneSpec.build(spec.model_dump())
    assert any(fingerprint(spec, index) != expected_fingerprint(index) for index in range(200))


def test_what_series_ignore_is_documented():
    said = re.search(r"Series take no notice of:(.*?)\n\s*\n", simulate_series.__doc__ + "\n\n", re.DOTALL)[1]
    assert set(re.findall(r"``([a-z_.]+)``", said)) == IGNORED
    page = (Path(__file__).parents[2] / "docs" / "simulate.md").read_text()
    said = re.search(r"Series take no notice of:\n\n(.*?)\n\n(?!- )", page, re.DOTALL)[1]
    assert set(re.findall(r"`([a-z_.]+)`", said)) == IGNORED


def test_coherence_falls_with_time_to_what_lasts():
    dates = [dt.date(2021, 1, 1) + dt.timedelta(days=day) for day in (0, 12, 24, 48, 3000)]
    made = series("quiet", dates=dates, water_share=0.0)
    means = [made.coherence(0, second).mean() for second in (1, 2, 3, 4)]
    assert means == sorted(means, reverse=True)
    np.testing.assert_allclose(
        made.coherence(0, 4), np.minimum(made.shortest_coherence * made.lasting, 0.999), atol=1e-5
    )
    np.testing.assert_allclose(made.coherence(0, 1), np.minimum(made.shortest_coherence, 0.999), atol=1e-6)


def test_every_date_has_air_of_its_own():
    none = ("steep_ramp_share", "ionosphere_share", "topographic_residual_share", "seam_share", "quiet_mining_share")
    quiet = {"turbulence_m": (0.01, 0.01), "ramp_fringes": (0, 0), "stratified_std_m_per_km": 0.0}
    made = series("quiet", **quiet, **dict.fromkeys(none, 0.0))
    flat = made.delay_rad.reshape(len(DATES), -1)
    correlation = np.corrcoef(flat)[~np.eye(len(DATES), dtype=bool)]
    assert np.abs(correlation).mean() < 0.6
    pair = made.delay_rad[1] - made.delay_rad[0]
    expected = np.sqrt(sum(drawn["turbulence_std_m"] ** 2 for drawn in made.acquisitions[:2]))
    assert 0.1 < pair.std() / abs(float(los_to_phase(np.float64(expected)))) < 2


def test_a_series_and_its_pairs_are_the_same_at_every_call():
    first, again, other = series(), series(), series(index=1)
    np.testing.assert_array_equal(first.interfere(1, 3).phase, again.interfere(1, 3).phase)
    assert first.parameters == again.parameters
    assert not np.array_equal(first.delay_rad, other.delay_rad)


def test_pairs_up_to_some_days_and_what_they_say_of_themselves():
    made = series()
    pairs = made.pairs(max_days=24)
    assert pairs == [(i, j) for i in range(6) for j in range(i + 1, min(i + 3, 6))]
    sample = made.interfere(0, 2)
    assert sample.parameters["reference_date"] == "2021-01-05"
    assert sample.parameters["secondary_date"] == "2021-01-29"
    assert sample.parameters["interval_days"] == 24
    assert made.track in "AD"


def test_a_pair_says_how_hard_it_is():
    made = series("earthquake", seed=3)
    ratios = [made.interfere(0, second).parameters["snr"] for second in range(1, 6)]
    assert ratios[-1] > 0
    onset = np.argmax([los_m.any() for los_m in made.los_m])
    before = made.interfere(0, onset - 1).parameters if onset > 1 else None
    assert before is None or (before["snr"], before["snr_stratum"]) == (0.0, "none")
    moved = los_to_phase(made.los_m[5]), made.delay_rad[5] - made.delay_rad[0]
    area = np.abs(moved[0]) >= 0.1 * np.abs(moved[0]).max()
    assert ratios[-1] == pytest.approx(np.abs(moved[0]).max() / moved[1][area].std(), rel=1e-3)


def test_a_series_of_a_site_has_its_relief():
    height = np.random.default_rng(0).uniform(0, 500, (80, 70)).astype(np.float32)
    made = series("quiet", site=Site("here.tif", height, 80.0, track="desc"))
    row, col = int(made.parameters["site_row"]), int(made.parameters["site_col"])
    np.testing.assert_array_equal(made.height_m, height[row : row + 64, col : col + 64])
    assert made.track == "D"


@pytest.mark.parametrize("dates", [DATES[:1], [DATES[1], DATES[0]], [DATES[0], DATES[0]]])
def test_dates_that_are_no_series(dates):
    with pytest.raises(ConfigError, match="expected at least two, each later than the one before"):
        series(dates=dates)
