"""Fringe edges lie where phase jumps, and windows cover the scene."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fringewatch.conventions import wrap
from fringewatch.errors import ConfigError
from fringewatch.fringes import HIGH, LOW, FringeEdges, Window, fringe_edges, windows


def ramp(shape=(60, 120), period_px=30.0, offset_rad=0.0):
    """Phase that grows with the column, wrapped; it jumps where (col / period + offset / 2 pi) passes n + 1/2."""
    columns = np.arange(shape[1], dtype=np.float32)
    return wrap(np.tile(2 * np.pi * columns / period_px + offset_rad, (shape[0], 1)).astype(np.float32))


def test_edges_of_a_ramp_lie_at_its_jumps():
    # The phase is 2 pi col / 30: it jumps beside columns 15, 45, 75, 105.
    found = fringe_edges(ramp())
    rows, columns = np.nonzero(found.edges)
    assert set(rows) == set(range(1, 59))
    # A jump midway between two pixels belongs to both.
    assert set(columns) <= {column for jump in (15, 45, 75, 105) for column in (jump, jump + 1)}
    for jump in (15, 45, 75, 105):
        assert set(rows[np.abs(columns - jump) <= 1]) == set(rows)
    np.testing.assert_array_equal(found.edges, found.strong)


def test_edges_follow_a_turned_picture():
    np.testing.assert_array_equal(fringe_edges(ramp().T.copy()).edges, fringe_edges(ramp()).edges.T)


@given(offset_rad=st.floats(-np.pi, np.pi), sign=st.sampled_from([-1, 1]))
def test_an_offset_moves_edges_and_keeps_their_number(offset_rad, sign):
    # A cone: every circle of phase pi is an edge, wherever the offset puts it.
    rows, columns = np.mgrid[:129, :129] - 64.0
    radius = np.hypot(rows, columns)
    phase = wrap((sign * 2 * np.pi * radius / 16 + offset_rad).astype(np.float32))
    edges = fringe_edges(phase).edges & (radius > 8) & (radius <= 56)
    # Along the row through the middle, three circles on either side, 16 pixels apart.
    crossings = np.flatnonzero(edges[64] & ~np.roll(edges[64], 1))
    assert len(crossings) == 6
    assert np.diff(crossings[crossings > 64]) == pytest.approx(16, abs=1)


@given(offset_rad=st.floats(-np.pi, np.pi), period_px=st.floats(10, 40))
def test_every_cycle_of_a_ramp_is_one_edge(offset_rad, period_px):
    columns = np.flatnonzero(fringe_edges(ramp(period_px=period_px, offset_rad=offset_rad)).edges[30])
    # Where phase / 2 pi + 1/2 passes whole numbers, away from the border.
    cycles = (np.arange(120) / period_px + offset_rad / (2 * np.pi) + 0.5) // 1
    jumps = np.flatnonzero(np.diff(cycles)) + 0.5
    inside = jumps[(jumps > 5) & (jumps < 114)]
    assert all(np.abs(columns - jump).min() <= 1.5 for jump in inside)
    # And nothing between them.
    assert all(np.abs(jumps - column).min() <= 1.5 for column in columns if 5 < column < 114)


def test_a_smooth_scene_and_noise_have_no_strong_edges():
    gentle = np.linspace(-3, 3, 200, dtype=np.float32) * np.ones((200, 1), np.float32)
    assert not fringe_edges(gentle).edges.any()
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 200)).astype(np.float32)
    assert fringe_edges(noise).strong.mean() < 1e-4


@pytest.mark.parametrize("level", [-3.0, 0.0, 3.0])
def test_borders_of_no_data_are_no_edges(level):
    phase = np.full((80, 80), level, np.float32)
    phase[20:60, 30:50] = np.nan
    phase[:, :7] = np.nan
    phase[np.random.default_rng(0).random(phase.shape) < 0.1] = np.nan
    assert not fringe_edges(phase).edges.any()


def test_no_data_hides_only_the_edges_beside_it():
    phase = ramp()
    whole = fringe_edges(phase).edges
    phase[20:40, 60:90] = np.nan
    holed = fringe_edges(phase).edges
    assert not holed[19:41, 59:91].any()
    beyond = np.ones(phase.shape, bool)
    beyond[10:50, 50:100] = False
    np.testing.assert_array_equal(holed[beyond], whole[beyond])


def test_lone_pixels_in_no_data_are_no_edges():
    rng = np.random.default_rng(1)
    phase = rng.uniform(-np.pi, np.pi, (100, 100)).astype(np.float32)
    phase[rng.random(phase.shape) < 0.7] = np.nan
    assert not fringe_edges(phase).edges.any()


def test_hysteresis_keeps_weak_edges_that_touch_strong_ones():
    # A jump whose height falls from a whole cycle to nothing along the rows: above the high threshold, between, below.
    height = np.linspace(2 * np.pi, 0, 200)[:, None]
    step = np.where(np.arange(60) < 30, -height / 2, height / 2).astype(np.float32)
    sigma = 1.5
    # Slope of a smoothed step in grey levels per pixel; the discrete operators lose some of it.
    slope = height[:, 0] * 255 / (2 * np.pi) / (np.sqrt(2 * np.pi) * sigma)
    found = fringe_edges(step, sigma_px=sigma)
    edge_rows, strong_rows = (np.flatnonzero(mask.any(axis=1)) for mask in found)
    assert slope[strong_rows.max()] == pytest.approx(HIGH, rel=0.2)
    assert slope[edge_rows.max()] == pytest.approx(LOW, rel=0.2)
    assert not (found.strong & ~found.edges).any()
    # The weak part alone, without the strong one, is nothing.
    assert not fringe_edges(step[strong_rows.max() + 2 :], sigma_px=sigma).edges.any()


def test_thresholds_are_ordered():
    with pytest.raises(ConfigError, match="expected 0 < low <= high"):
        fringe_edges(ramp(), low=30, high=10)
    with pytest.raises(ConfigError, match=r"sigma_px = 0: expected at least 0\.5"):
        fringe_edges(ramp(), sigma_px=0)


@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size_px=st.integers(1, 40),
    step=st.floats(0, 1),
    seed=st.integers(0, 3),
)
def test_windows_cover_the_scene_and_count_what_they_hold(shape, size_px, step, seed):
    rng = np.random.default_rng(seed)
    edges, strong, valid = (rng.random(shape) < share for share in (0.2, 0.1, 0.8))
    found = windows(FringeEdges(edges, strong), valid, size_px=size_px, step_px=max(1, round(step * size_px)))
    covered = np.zeros(shape, bool)
    for window in found:
        part = (slice(window.row0, window.row1), slice(window.col0, window.col1))
        covered[part] = True
        assert window.row1 - window.row0 == window.col1 - window.col0 == size_px
        assert (window.edge_px, window.strong_px, window.valid_px) == tuple(
            m[part].sum() for m in (edges, strong, valid)
        )
        # Only a scene smaller than the window lets it reach beyond.
        assert window.row1 <= max(shape[0], size_px)
        assert window.col1 <= max(shape[1], size_px)
    assert covered.all()
    assert len(set(found)) == len(found)


def test_the_last_window_is_flush_and_steps_are_half_a_window():
    nothing = np.zeros((100, 130), bool)
    found = windows(FringeEdges(nothing, nothing), ~nothing, size_px=40)
    assert sorted({window.row0 for window in found}) == [0, 20, 40, 60]
    assert sorted({window.col0 for window in found}) == [0, 20, 40, 60, 80, 90]
    with pytest.raises(ConfigError, match="size_px = 40, step_px = 41"):
        windows(FringeEdges(nothing, nothing), ~nothing, size_px=40, step_px=41)


def test_a_window_beyond_the_scene_is_filled_with_no_data():
    scene = np.arange(12, dtype=np.float32).reshape(3, 4)
    cut = Window(0, 5, 0, 5, 0, 0, 12).cut(scene)
    np.testing.assert_array_equal(cut[:3, :4], scene)
    assert np.isnan(cut[3:]).all()
    assert np.isnan(cut[:, 4:]).all()
    assert Window(1, 3, 0, 2, 0, 0, 4).cut(scene).tolist() == [[4, 5], [8, 9]]
