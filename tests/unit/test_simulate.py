"""Simulated scenes: reproducible, honest about their truth, right in sign."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from fringewatch.conventions import los_to_phase, wrap
from fringewatch.errors import ConfigError, ProductError
from fringewatch.physics.coherence import gradient_coherence
from fringewatch.simulate import RealNoise, SceneSpec, preset, simulate
from fringewatch.simulate import sample as sampling
from fringewatch.simulate.crops import draw_crop
from fringewatch.simulate.deformation.grid import nodes
from fringewatch.simulate.visibility import background_steps, visibility, visibility_at_nodes
from fringewatch.simulate.visible import _close, _fill_holes, visible_mask

SMALL = {"height_px": 96, "width_px": 96, "pixel_size_m": (150, 200)}


def spec(**settings):
    return SceneSpec.build(SMALL | settings)


@pytest.mark.parametrize("kind", ["volcano", "earthquake", "mining", "quiet"])
def test_same_seed_and_index_give_the_same_sample_and_others_do_not(kind):
    population = spec(kinds={kind: 1.0})
    first, again = (simulate(population, seed=3, index=5) for _ in range(2))
    np.testing.assert_array_equal(first.phase, again.phase)
    assert first.parameters == again.parameters
    assert not np.array_equal(first.phase, simulate(population, seed=3, index=6).phase, equal_nan=True)


@pytest.mark.parametrize("kind", ["volcano", "earthquake", "mining"])
def test_deformation_scenes_hold_visible_deformation_within_the_wanted_fringes(kind):
    population = spec(kinds={kind: 1.0}, fringes=(1.0, 8.0))
    samples = [simulate(population, seed=1, index=index) for index in range(6)]
    moved = [sample for sample in samples if sample.kind != "quiet"]
    assert len(moved) >= 4
    for sample in moved:
        assert sample.mask.sum() >= 40
        # Two sources may add up or cancel; one obeys the range.
        assert 0.3 < sample.parameters["peak_to_peak_fringes"] < 20
        assert np.abs(los_to_phase(sample.los_m))[sample.mask].min() > np.pi / 2


def test_quiet_scenes_hold_none():
    sample = simulate(spec(kinds={"quiet": 1.0}), seed=0, index=0)
    assert not sample.is_deformation
    assert not sample.los_m.any()


def test_subsidence_over_a_mine_increases_phase():
    population = spec(kinds={"mining": 1.0}, fringes=(1.0, 2.0))
    sample = simulate(population, seed=4, index=0)
    deepest = np.unravel_index(np.abs(sample.los_m).argmax(), sample.los_m.shape)
    assert sample.los_m[deepest] < 0
    assert los_to_phase(sample.los_m)[deepest] > 0


def test_without_noise_and_atmosphere_the_phase_is_the_deformation():
    population = spec(
        kinds={"volcano": 1.0},
        turbulence_m=(1e-9, 1e-9),
        stratified_std_m_per_km=0.0,
        ramp_share=0.0,
        steep_ramp_share=0.0,
        ionosphere_share=0.0,
        topographic_residual_share=0.0,
        styles={"raw": 1.0},
        coherence=(0.999, 0.999),
        looks=(1e6, 1e6),
        water_share=0.0,
        goldstein_share=0.0,
        nodata_share=0.0,
        fringes=(1.0, 3.0),
    )
    sample = simulate(population, seed=2, index=0)
    difference = wrap(sample.phase - los_to_phase(sample.los_m))
    constant = np.angle(np.exp(1j * difference).mean())
    gentle = gradient_coherence(los_to_phase(sample.los_m)) > 0.999
    assert np.abs(wrap(difference - np.float32(constant)))[gentle].std() < 0.06


def test_phase_is_wrapped_and_nan_where_missing():
    for index in range(8):
        phase = simulate(spec(nodata_share=1.0), seed=8, index=index).phase
        assert phase.dtype == np.float32
        assert np.nanmax(np.abs(phase)) <= np.float32(np.pi)


def test_visible_mask_needs_coherence_and_fills_the_core():
    rows, cols = np.mgrid[-40:41, -40:41]
    bowl = (6 * np.pi * np.exp(-(rows**2 + cols**2) / 300)).astype(np.float32)
    noise = np.random.default_rng(0).uniform(-np.pi, np.pi, bowl.shape).astype(np.float32)
    decorrelated_core = wrap(np.where(rows**2 + cols**2 < 30, noise, bowl))
    mask = visible_mask(bowl, decorrelated_core)
    assert mask[40, 40]
    assert (mask <= (bowl > np.pi / 2)).all()
    assert mask.sum() > 0.9 * (bowl > np.pi / 2).sum()
    assert not visible_mask(bowl, noise).any()
    assert not visible_mask(bowl * 0.05, wrap(bowl * 0.05)).any()


def test_visible_mask_reaches_the_edge_but_not_into_gaps():
    ramp = np.broadcast_to(np.linspace(0, 12, 60, dtype=np.float32), (50, 60)).copy()
    phase = wrap(ramp)
    assert visible_mask(ramp, phase)[:, -1].all()
    phase[10:20] = np.nan
    seen = visible_mask(ramp, phase)
    assert not seen[10:20].any()
    assert seen[30:, -1].all()


def test_closing_and_filling_are_those_of_scipy_away_from_the_edge():
    rng = np.random.default_rng(2)
    for _ in range(5):
        mask = np.zeros((70, 80), bool)
        mask[12:-12, 12:-12] = ndimage.gaussian_filter(rng.normal(size=(46, 56)), 2) > 0.05
        closed = _close(mask, 3)
        np.testing.assert_array_equal(closed, ndimage.binary_closing(mask, iterations=3))
        np.testing.assert_array_equal(_fill_holes(mask), ndimage.binary_fill_holes(mask))


def test_what_a_filter_wiped_out_is_not_visible():
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:160, :160]
    background = (0.05 * row).astype(np.float32)
    kept = (8 * np.exp(-((row - 40) ** 2 + (col - 40) ** 2) / 60)).astype(np.float32)
    lost = (8 * np.exp(-((row - 40) ** 2 + (col - 120) ** 2) / 60)).astype(np.float32)
    torn = (40 * np.exp(-((row - 120) ** 2 + (col - 40) ** 2) / 60)).astype(np.float32)
    deformation = kept + lost + torn
    phase = wrap(background + kept + rng.normal(0, 0.1, row.shape).astype(np.float32))
    # Of the steep one nothing but noise is left, which is rougher than what surrounds it.
    core = np.hypot(row - 120, col - 40) < 12
    phase[core] = rng.uniform(-np.pi, np.pi, core.sum())
    everything, seen = visible_mask(deformation, phase), visible_mask(deformation, phase, background)
    assert everything[40, 120]
    assert not seen[:80, 80:].any()
    np.testing.assert_array_equal(seen[:, :80], everything[:, :80])
    assert seen[40, 40]
    assert seen[110:130, 30:50].any()
    # Where there is no noise at all, what is there is seen.
    clear = wrap(background + deformation)
    assert visible_mask(deformation, clear, background)[40, 120]


def test_visibility_is_the_ratio_of_slopes():
    rows = np.arange(64, dtype=np.float32)[:, np.newaxis]
    deformation = np.broadcast_to(0.6 * rows, (64, 64)).astype(np.float32)
    background = wrap(np.broadcast_to(0.2 * rows.T, (64, 64)).astype(np.float32))
    kept = np.ones((64, 64), np.float32)
    assert visibility(deformation, background, kept) == pytest.approx(3, rel=0.02)
    # What the pixels cannot resolve shows nothing.
    assert visibility(deformation, background, 0 * kept) == 0
    assert visibility(0 * deformation, background, kept) == 0


def test_visibility_is_estimated_from_nodes():
    row, column = np.mgrid[:96, :120].astype(np.float32)

    def bowl(row, column):
        return 15 * np.exp(-((row - 40) ** 2 + (column - 70) ** 2) / (2 * 18.0**2))

    background = wrap(0.05 * row + 0.1 * column)
    steps, kept = background_steps(background), np.where(column < 60, np.float32(0.9), np.float32(0.1))
    exact = visibility(bowl(row, column).astype(np.float32), background, kept)
    assert exact > 1
    at_nodes = bowl(*np.meshgrid(nodes(96, 5), nodes(120, 5), indexing="ij"))
    assert visibility_at_nodes(at_nodes, 5, kept, steps) == pytest.approx(exact, rel=0.1)
    sea = column < 60
    assert visibility_at_nodes(at_nodes, 5, kept, steps, sea=sea) == 0
    assert visibility_at_nodes(at_nodes, 5, 0 * kept, steps) == 0
    # Too small for the nodes to tell.
    assert visibility_at_nodes(0.1 * at_nodes, 5, kept, steps) == np.inf
    assert visibility_at_nodes(at_nodes, 1, kept, steps) == np.inf


def test_what_is_stopped_at_its_nodes_would_not_have_been_seen(monkeypatch):
    population = SceneSpec.build({"height_px": 128, "width_px": 128, "kinds": {"volcano": 0.5, "earthquake": 0.5}})
    stopped = []
    estimate = sampling.visibility_at_nodes

    def counted(*given, **named):
        stopped.append(estimate(*given, **named) < sampling._HOPELESS * population.min_visibility)
        return estimate(*given, **named)

    monkeypatch.setattr(sampling, "visibility_at_nodes", counted)
    early = [simulate(population, seed=8, index=index) for index in range(30)]
    assert sum(stopped) > 5
    assert not all(stopped)
    monkeypatch.setattr(sampling, "_HOPELESS", 0.0)
    for index, sample in enumerate(early):
        late = simulate(population, seed=8, index=index)
        np.testing.assert_array_equal(sample.phase, late.phase)
        assert sample.parameters == late.parameters


@pytest.fixture
def quiet_folder(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["file,site"]
    for number in range(40):
        grey = rng.integers(0, 256, (60, 60), dtype=np.uint8)
        alpha = np.full_like(grey, 255)
        alpha[:10] = 0
        Image.fromarray(np.dstack([grey, alpha]), "LA").save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,site{number // 2}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_real_noise_never_shares_a_site_between_folds(quiet_folder):
    train, holdout = (RealNoise(quiet_folder, fold=fold) for fold in ("train", "holdout"))
    assert not set(train.sites) & set(holdout.sites)
    assert len(train) + len(holdout) == 40
    assert len(holdout) > 0


def test_real_noise_keeps_no_data_and_the_range_of_phase(quiet_folder):
    phase, name = RealNoise(quiet_folder).draw(np.random.default_rng(1), (60, 60))
    assert name.endswith(".png")
    assert np.isnan(phase).sum() == 600
    assert np.nanmax(np.abs(phase)) <= np.float32(np.pi)


def test_real_noise_smaller_than_the_scene_is_mirrored(quiet_folder):
    phase, _ = RealNoise(quiet_folder).draw(np.random.default_rng(1), (96, 80))
    assert phase.shape == (96, 80)


def test_empty_and_broken_noise_folders_are_named(tmp_path):
    with pytest.raises(ProductError, match="holds no PNG patches"):
        RealNoise(tmp_path)
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ProductError, match=r"a\.png: cannot be read as a picture"):
        RealNoise(tmp_path, holdout_share=0.0)


def test_unknown_preset_and_backward_range():
    with pytest.raises(ConfigError, match="'moon': unknown; choose one of mixed"):
        preset("moon")
    with pytest.raises(ConfigError, match="runs backwards"):
        SceneSpec.build({"fringes": (3, 1)})


@pytest.mark.parametrize(
    ("name", "sizes"), [("mixed", (5, 120)), ("mining", (5, 100)), ("volcano", (60, 120)), ("quiet", (5, 120))]
)
def test_populations_know_their_pixel_sizes(name, sizes):
    assert preset(name).pixel_sizes_m() == sizes
    drawn = [
        simulate(preset(name).model_copy(update={"height_px": 32, "width_px": 32}), seed=1, index=index).pixel_m
        for index in range(30)
    ]
    assert sizes[0] <= min(drawn)
    assert max(drawn) <= sizes[1]


def test_presets_take_changes_and_refuse_mistakes():
    changed = preset("volcano", height_px=64, kinds={"volcano": 1.0})
    assert (changed.height_px, changed.width_px) == (64, 224)
    assert changed.quiet_mining_share == preset("volcano").quiet_mining_share
    with pytest.raises(ConfigError, match="unknown key 'hight_px'; did you mean 'height_px'"):
        preset("volcano", hight_px=64)
    with pytest.raises(ConfigError, match="every weight is 0"):
        preset("volcano", kinds={"volcano": 0.0})
    with pytest.raises(ConfigError, match="greater than or equal to 0"):
        preset("volcano", kinds={"volcano": -1.0})
    with pytest.raises(ConfigError, match=r"expected a SceneSpec, such as preset\('volcano'\)"):
        simulate("volcano", seed=0, index=0)


@pytest.mark.parametrize("sides_px", [(32, 64), (48, 48)])
def test_crops_of_what_deforms_show_some_of_it(sides_px):
    """Its middle may lie between two panels, or in a hole."""
    mask = np.zeros((224, 224), bool)
    mask[20:50, 20:60] = mask[180:200, 150:200] = True
    rng = np.random.default_rng(0)
    for _ in range(20):
        crop = draw_crop(mask, sides_px, rng)
        shape = tuple(side.stop - side.start for side in crop)
        assert all(sides_px[0] <= side <= sides_px[1] for side in shape)
        assert mask[crop].sum() >= min(0.5 * np.prod(shape), 0.5 * mask.sum()) * 0.9
