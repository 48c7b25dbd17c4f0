"""Impossible settings of the simulator are refused at once and by name; whatever is allowed can be drawn."""

import re

import numpy as np
import pytest

from fringewatch.config import Config
from fringewatch.errors import ConfigError
from fringewatch.simulate import SceneSpec, preset, simulate
from fringewatch.simulate.spec import PRESETS

# Of every range, by where it is set.
BOUNDS = {
    "pixel_size_m": (0.5, 1000),
    "mining_pixel_size_m": (0.5, 1000),
    "incidence_deg": (0, 89),
    "fringes": (0, np.inf),
    "weak_fringes": (0, np.inf),
    "low_snr": (0, np.inf),
    "sources": (1, 10_000),
    "panels": (1, 10_000),
    "interval_days": (1, 1900),
    "relief_m": (0.001, 1e4),
    "cones": (0, 10_000),
    "turbulence_m": (1e-9, 1),
    "strong_stratified_fringes": (0, np.inf),
    "ramp_fringes": (0, 1000),
    "steep_ramp_fringes": (0, 1000),
    "ambiguity_m": (1, 1e6),
    "coherence": (0.001, 0.999),
    "looks": (1, 1e6),
    "goldstein_alpha": (0, 1),
    "mogi.depth_m": (1, 1e5),
    "mogi.volume_change_m3": (1, 1e12),
    "penny_crack.radius_m": (1, 1e5),
    "penny_crack.depth_m": (1, 1e5),
    "penny_crack.pressure_pa": (1, 1e9),
    "penny_crack.shear_modulus_pa": (1e6, 1e12),
    "dyke.top_m": (0, 1e5),
    "dyke.width_m": (1, 1e5),
    "dyke.length_m": (1, 1e5),
    "dyke.dip_deg": (0, 90),
    "dyke.opening_m": (0, 100),
    "sill.top_m": (1, 1e5),
    "sill.width_m": (1, 1e5),
    "sill.length_m": (1, 1e5),
    "sill.dip_deg": (0, 90),
    "sill.opening_m": (0, 100),
    "sheet.half_width_m": (1, 1e5),
    "sheet.aspect": (1, 5),
    "sheet.depth_over_half_width": (0.25, 4),
    "sheet.lobes": (0, 1),
    "sheet.opening_m": (0, 100),
    "earthquake.magnitude": (4, 8),
    "earthquake.top_m": (1, 1e5),
    "earthquake.strike_slip_dip_deg": (0, 90),
    "earthquake.reverse_dip_deg": (0, 90),
    "earthquake.normal_dip_deg": (0, 90),
    "earthquake.slip_over_median": (0.01, 100),
    "longwall.depth_m": (1, 1e4),
    "longwall.width_m": (1, 1e4),
    "longwall.length_m": (1, 1e4),
    "longwall.tan_beta": (0.1, 10),
    "longwall.seam_thickness_m": (0.01, 50),
    "longwall.caving_factor": (0, 1),
    "longwall.backfill_factor": (0, 1),
    "longwall.advance_m_per_day": (0.01, 1000),
    "longwall.time_factor_per_day": (1e-4, 100),
    "longwall.horizontal_factor": (0, 1),
    "longwall.seam_dip_deg": (0, 60),
    "longwall.inflection_over_depth": (0, 1),
    "longwall.dip_propagation": (0, 1),
    "longwall.pillar_m": (0, 1e4),
    "longwall.partial_factor": (0, 1),
    "longwall.small_depth_m": (1, 1e4),
    "longwall.small_width_m": (1, 1e4),
    "longwall.small_length_m": (1, 1e4),
    "clutter.cells": (1, 10_000),
    "clutter.cell_m": (1, 1e5),
    "clutter.field_m": (1, 1e5),
    "clutter.field_std_rad": (0, 10),
    "clutter.field_loss": (0, 1),
    "clutter.spots": (1, 10_000),
    "clutter.spot_m": (1, 1e5),
    "clutter.spot_kept": (0, 1),
}
# 0 itself is refused.
ABOVE_0 = {"fringes", "weak_fringes", "low_snr", "strong_stratified_fringes"} | {
    path for path in BOUNDS if path.endswith(("opening_m", "lobes", "caving_factor", "backfill_factor"))
}
ABOVE_0 |= {"longwall.dip_propagation", "longwall.partial_factor"}
COUNTS = {"sources", "panels", "interval_days", "cones", "clutter.cells", "clutter.spots"}
# What must be given as well for an end of a range to be possible.
FLAT = {"seam_dip_deg": (0, 0)}
BESIDE = {
    ("penny_crack.radius_m", 1e5): {"depth_m": (8e4, 1e5)},
    ("penny_crack.depth_m", 1): {"radius_m": (1, 1)},
    ("dyke.dip_deg", 0): {"top_m": (1, 2500)},
    ("longwall.depth_m", 1): FLAT | {"seam_thickness_m": (0.5, 0.5)},
    ("longwall.small_depth_m", 1): FLAT | {"seam_thickness_m": (0.5, 0.5), "small_share": 1},
    ("longwall.small_depth_m", 1e4): {"small_share": 1},
    ("longwall.small_width_m", 1): {"small_share": 1},
    ("longwall.small_width_m", 1e4): FLAT | {"small_share": 1},
    ("longwall.small_length_m", 1): {"small_share": 1},
    ("longwall.small_length_m", 1e4): {"small_share": 1},
    ("longwall.width_m", 1e4): FLAT,
    ("longwall.seam_dip_deg", 60): {"depth_m": (300, 400), "pim_share": 1},
}
SMALL = {"height_px": 32, "width_px": 32, "min_visibility": 0, "min_visible_px": 1}
KINDS = ("volcano", "earthquake", "mining", "quiet")


def fields(kind):
    """Return where in a SceneSpec there are fields with defaults of a type, and these defaults."""
    found = {}
    for name, value in SceneSpec():
        inner = {f"{name}.{key}": part for key, part in value} if isinstance(value, Config) else {name: value}
        found |= {path: part for path, part in inner.items() if isinstance(part, kind)}
    return found


def nested(path, value, **beside):
    """Return the settings that hold a value at a place, and others in the same model."""
    model, _, name = path.rpartition(".")
    return {model: beside | {name: value}} if model else beside | {name: value}


def check(settings, kind, count=1):
    spec = SceneSpec.build(SMALL | {"kinds": {kind: 1}} | settings)
    for index in range(count):
        sample = simulate(spec, seed=1, index=index)
        assert np.isfinite(sample.los_m).all()
        assert np.isfinite(sample.phase).any()
        assert np.nanmax(np.abs(sample.phase)) <= np.float32(np.pi)
        assert 0 <= sample.coherence.min() <= sample.coherence.max() <= 1


def kinds_that_use(path):
    """Return the kinds of scene, and settings, that draw from a range."""
    model = path.partition(".")[0]
    if model == path:
        return KINDS, {"styles": {"raw": 1}, "goldstein_share": 1, "ramp_share": 1, "topographic_residual_share": 1}
    if model == "clutter":
        return ("quiet",), {}
    if model in {"longwall", "earthquake"}:
        return ("mining" if model == "longwall" else model,), {}
    return ("volcano",), {"magmatic": {model.replace("_", "-"): 1}}


def test_every_range_has_its_bounds_here():
    assert set(fields(tuple)) == set(BOUNDS)


@pytest.mark.parametrize("path", BOUNDS)
def test_ranges_beyond_what_is_possible_are_refused(path):
    low, high = BOUNDS[path]
    allowed = re.escape(f"{low:g} to {high:g} (")
    below = low - 1 if path in COUNTS else 0.9 * low if low else -0.1
    refused = [(below, allowed if low else f"({allowed}|values above 0|0 to inf)")]
    if path in ABOVE_0:
        refused.append((0, "values above 0"))
    if high < np.inf:
        refused.append((high + 1 if path in COUNTS else 1.1 * high, allowed))
    for value, text in refused:
        with pytest.raises(ConfigError, match=rf"^settings: {path} = \({value}.*; allowed: {text}"):
            SceneSpec.build(nested(path, (value, value)))


@pytest.mark.parametrize("path", BOUNDS)
def test_ranges_that_run_backwards_or_are_not_finite_are_refused(path):
    low, high = fields(tuple)[path]
    with pytest.raises(ConfigError, match=rf"{path} = .* runs backwards; write \(smallest, largest\), finite numbers"):
        SceneSpec.build(nested(path, (high, low)))
    for value in ((np.nan, high), (low, np.nan), (low, np.inf), (-np.inf, high)):
        text = "finite number|valid integer" if path in COUNTS else "finite numbers"
        with pytest.raises(ConfigError, match=rf"{path}.*({text})"):
            SceneSpec.build(nested(path, value))


@pytest.mark.parametrize("path", fields(float))
def test_numbers_that_are_not_finite_are_refused(path):
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(ConfigError, match=rf"{path} = .*Input should be (less|greater) than"):
            SceneSpec.build(nested(path, value))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"relief_m": (0, 0)}, r"relief_m.*0.001 to 10000 \(metres; log-uniform, so above 0: 0.001 is flat\)"),
        ({"turbulence_m": (-0.01, 0.01)}, r"turbulence_m = \(-0.01, 0.01\).*1e-09 to 1 \(metres; log-uniform"),
        ({"coherence": (1.2, 1.5)}, r"coherence.*0.001 to 0.999 \(as the model of coherence takes it\)"),
        ({"longwall": {"seam_thickness_m": (500, 1000)}}, r"seam_thickness_m.*\(metres, as the thickest seams"),
        (
            {"longwall": {"small_depth_m": (40, 50), "seam_thickness_m": (1, 45)}},
            "longwall: small_depth_m starts at 40, where the thickest seam reaches the surface; allowed: more than 50",
        ),
        (
            {"dyke": {"dip_deg": (0, 0)}},
            "dyke: dip_deg ends at 0 and top_m starts at 0, on the surface; allowed: a dip or a depth above 0",
        ),
        (
            {"min_visible_px": 5000, **dict.fromkeys(("height_px", "width_px"), 64)},
            "min_visible_px is 5000.* most 4096",
        ),
        (
            {"clutter": {"fields_share": 0.1, "field_m": (1, 50)}},
            r"clutter.field_m starts at 1, too narrow for scenes of 38 km; allowed: at least 3",
        ),
        ({"sources": (1.5, 2)}, r"sources.0 = 1.5: Input should be a valid integer"),
        ({"panels": (1, 10**400)}, r"panels.*allowed: 1 to 10000"),
    ],
)
def test_what_else_is_impossible_is_refused_with_its_reason(settings, message):
    with pytest.raises(ConfigError, match=message):
        SceneSpec.build(settings)


@pytest.mark.parametrize(
    ("name", "key", "known"),
    [
        ("kinds", "volcano", "volcano, earthquake, mining, quiet"),
        ("magmatic", "mogi", "mogi, penny-crack, dyke, sill, sheet"),
        ("styles", "raw", "licsar, hyp3, raw"),
    ],
)
def test_weights_that_choose_nothing_are_refused(name, key, known):
    for weights in ({}, {key: 0}):
        message = f"{name}: every weight is 0 or left out; give at least one of {known} a weight above 0"
        with pytest.raises(ConfigError, match=message):
            SceneSpec.build({name: weights})
    for weight, text in ((-1, "greater than or equal to 0"), (np.nan, "less than"), (np.inf, "less than")):
        with pytest.raises(ConfigError, match=rf"{name}.{key} = {weight}: Input should be {text}"):
            SceneSpec.build({name: {key: weight}})


@pytest.mark.parametrize("path", BOUNDS)
def test_the_ends_of_every_range_can_be_drawn(path):
    low, high = BOUNDS[path]
    kinds, settings = kinds_that_use(path)
    # Thousands of anything are allowed, and take long.
    for end in (low, 20 if path in COUNTS - {"interval_days"} else high):
        beside = BESIDE.get((path, end), {})
        if path.startswith("clutter."):
            beside = dict.fromkeys(("cells_share", "fields_share", "spots_share"), 1.0)
        value = 1e-9 if end == 0 and path in ABOVE_0 else min(end, 1e300)
        for kind in kinds:
            check(settings | nested(path, (value, value), **beside), kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("highest", [False, True])
def test_the_ends_of_all_numbers_can_be_drawn_together(kind, highest):
    settings = {}
    for path in fields(float):
        model, _, name = path.rpartition(".")
        info = (type(getattr(SceneSpec(), model)) if model else SceneSpec).model_fields[name]
        ends = [getattr(part, "le" if highest else "ge", None) for part in info.metadata]
        value = next((end for end in ends if end is not None), None)
        # Roofs are of one kind each, and beyond any visibility all scenes are quiet.
        if value is not None and path not in {"longwall.partial_share", "min_visibility"}:
            settings.setdefault(model, {})[name] = value
    check(settings.pop("") | settings, kind, count=3)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_allowed_and_drawn(name):
    assert SceneSpec.build(preset(name).model_dump()) == preset(name)
    for kind, weight in preset(name).kinds.items():
        if weight:
            check(preset(name, **SMALL).model_dump() | {"kinds": {kind: 1}}, kind)
