"""Time series: networks of pairs close, the ground moves as the sources say, coherence is lost with time."""

import datetime as dt
import itertools

import numpy as np
import pytest

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.errors import ConfigError
from fringewatch.physics.geometry import look_vector
from fringewatch.simulate import SceneSpec
from fringewatch.simulate.history import draw_history, draw_mining_history
from fringewatch.simulate.series import simulate_series
from fringewatch.simulate.site import Site

DATES = [dt.date(2021, 1, 5) + dt.timedelta(days=12 * number) for number in range(6)]
SMALL = {"height_px": 64, "width_px": 64, "nodata_share": 0.0, "goldstein_share": 0.0}


def series(kind="volcano", *, dates=DATES, seed=0, index=0, site=None, **settings):
    spec = SceneSpec.build(SMALL | {"kinds": {kind: 1.0}} | settings)
    return simulate_series(spec, seed=seed, index=index, dates=dates, site=site)


@pytest.mark.parametrize("kind", ["volcano", "earthquake", "mining", "quiet"])
def test_every_triangle_of_pairs_closes_before_noise(kind):
    made = series(kind)
    for first, second, third in itertools.combinations(range(len(DATES)), 3):
        closure = made.noiseless(first, second) + made.noiseless(second, third) - made.noiseless(first, third)
        assert np.abs(wrap(closure)).max() < 1e-9


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


def test_a_mine_sinks_and_its_bowl_moves_with_the_face():
    spec = SceneSpec.build(SMALL | {"panels": (1, 1)})
    days = np.arange(0, 100, 12.0)
    los_m, drawn = draw_mining_history(np.random.default_rng(5), spec, 30.0, look_vector(347.0, 35.0), days)
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
    quiet = {"turbulence_m": (0.01, 0.01), "ramp_fringes": (0, 0), "stratified_std_m_per_km": 0.0}
    made = series("quiet", **quiet)
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
