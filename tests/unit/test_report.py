"""What people look at: colours that do not lie, pictures that show what is where, a page that stands alone."""

from __future__ import annotations

import dataclasses
import html.parser
import re

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image

from fringewatch.errors import ProductError
from fringewatch.interferogram import make_interferogram
from fringewatch.models import Card, Thresholds
from fringewatch.pages import page_template
from fringewatch.regions import find_regions
from fringewatch.report import (
    RunFacts,
    SceneRow,
    draw_scene,
    embed_picture,
    panel,
    read_summary,
    render_report,
    report_order,
    write_summary,
)
from fringewatch.report.colours import (
    NO_DATA,
    phase_colours,
    phase_scale,
    probability_colours,
    probability_scale,
)
from fringewatch.scan import Scan

CARD = Card(
    name="made-up",
    version="7",
    description="Finds <nothing>.",
    architecture="none",
    parameters=12345,
    halo_px=0,
    thresholds=Thresholds(scene=0.6, false_alarm_rate=0.02, false_alarm_set="500 quiet scenes"),
    files={"float32": "none"},
    sha256={"none": "0123456789abcdef" * 4},
)
FACTS = RunFacts(
    threshold=0.6,
    precision="int8",
    version="1.2.3",
    finished="2026-01-01 12:00 UTC",
    seconds=12.0,
    kept=0,
    interrupted=False,
    has_pictures=True,
)


# Colours


def test_phase_colours_have_no_seam():
    """The step from pi to -pi is no larger than any other."""
    scale = phase_scale().astype(int)
    steps = np.abs(np.diff(np.vstack([scale, scale[:1]]), axis=0)).sum(axis=1)
    assert steps[-1] <= steps.max()
    assert steps.max() < 25
    assert len(np.unique(scale, axis=0)) > 250


def test_probability_colours_darken_steadily():
    """A print in grey keeps the order."""
    luminance = probability_scale() @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) <= 1).all()
    assert luminance[0] - luminance[-1] > 180


def test_no_data_has_a_colour_of_its_own():
    values = np.array([[np.nan, -np.pi, 0, np.pi]], np.float32)
    colours = phase_colours(values)[0]
    assert tuple(colours[0]) == NO_DATA
    assert tuple(colours[1]) == tuple(phase_scale()[0])
    assert tuple(colours[2]) == tuple(phase_scale()[127])
    assert tuple(colours[3]) == tuple(phase_scale()[254])
    colours = probability_colours(np.array([[np.nan, 0, 1]], np.float32))[0]
    assert tuple(colours[0]) == NO_DATA
    assert tuple(colours[2]) == tuple(probability_scale()[254])


# Pictures


def scene(shape, **grid):
    phase = np.full(shape, 0.1, np.float32)
    phase[0, 0] = 0.2
    return make_interferogram(phase, wavelength_m=0.0555, name="a scene", reference_date="2020-01-01", **grid)


def bump(shape, stride=4):
    logits = np.full((-(-shape[0] // stride), -(-shape[1] // stride)), -9, np.float32)
    logits[2:6, 3:8] = 9
    return Scan(logits, np.ones(logits.shape, bool), shape, stride)


def draw(interferogram, scan):
    regions = find_regions(scan, interferogram, CARD)
    return draw_scene(interferogram, scan, regions, CARD, score=0.9, flagged=True, threshold=0.6)


GRIDS = [
    {},
    {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 14, 0, -0.001, 60)},
    {"crs": "EPSG:32633", "transform": rasterio.Affine(20, 0, 4e5, 0, -20, 45e5)},
    {"crs": "EPSG:2263", "transform": rasterio.Affine(300, 0, 9e5, 0, -300, 2e5)},  # US survey feet
]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shape", [(8, 8), (40, 56), (30, 2000), (2000, 30), (1300, 1400)])
def test_any_shape_and_grid_makes_a_picture_of_reasonable_size(shape, grid):
    picture = draw(
        scene(shape, **grid),
        bump(shape) if min(shape) >= 24 else Scan(np.zeros((2, 2), np.float32), np.ones((2, 2), bool), shape, 4),
    )
    assert 700 <= picture.width <= 1400
    assert 300 <= picture.height <= 1400


def colour_count(picture, box, colour):
    pixels = np.asarray(picture.crop(box))
    return int((np.abs(pixels.astype(int) - colour).sum(axis=2) < 12).sum())


def test_the_outline_and_the_probability_are_where_the_region_is():
    shape = (160, 200)
    interferogram, scan = scene(shape), bump(shape)
    picture = draw(interferogram, scan)
    scale = 560 / 200
    left = picture.width - panel.MARGIN_PX - 560
    top = panel.MARGIN_PX + panel.HEADER_PX
    inside = (left + 14 * scale, top + 10 * scale, left + 28 * scale, top + 22 * scale)
    dark = probability_scale()[254].astype(int)
    assert colour_count(picture, tuple(map(int, inside)), dark) > 500
    elsewhere = (left + 280, top + 100, left + 550, top + 440)
    assert colour_count(picture, elsewhere, dark) == 0
    assert colour_count(picture, elsewhere, np.zeros(3, int)) == 0  # no outline there
    band = tuple(map(int, (left + 8 * scale, top + 4 * scale, left + 36 * scale, top + 28 * scale)))
    assert colour_count(picture, band, np.zeros(3, int)) > 100  # the outline


def test_pixels_are_drawn_with_their_shape_on_the_ground():
    """At 60 degrees north a degree of longitude is half as long as one of latitude."""
    interferogram = scene((200, 200), **GRIDS[1])
    assert panel.Grid.of(interferogram).aspect == pytest.approx(0.5, abs=0.01)


def test_axes_are_round_numbers_in_the_right_place():
    axis = panel._Axis(14.0, 0.001, "°")
    ticks = panel._tick_positions(axis, 500, 4)
    assert [text for text, _ in ticks] == ["14.0°", "14.2°", "14.4°"]
    assert [share for _, share in ticks] == pytest.approx([0, 0.4, 0.8])
    down = panel._tick_positions(panel._Axis(-1.0, -0.01, "°"), 100, 4)
    assert [text for text, _ in down] == ["−2.0°", "−1.5°", "−1.0°"]
    assert [share for _, share in down] == pytest.approx([1, 0.5, 0])


def test_a_large_scene_is_averaged_as_complex_numbers():
    """The mean of phases on both sides of the seam is the seam, not zero."""
    phase = np.array([[3.1, -3.1], [np.nan, np.nan]], np.float32)
    (value,) = panel._average_phase(phase, 2).ravel()
    assert abs(value) == pytest.approx(np.pi, abs=1e-6)
    assert np.isnan(panel._average_phase(np.full((2, 2), np.nan, np.float32), 2)).all()


def test_long_names_do_not_run_into_the_verdict():
    interferogram = scene((100, 100))
    interferogram.attrs["name"] = "x" * 300
    picture = draw(interferogram, bump((100, 100)))
    interferogram.attrs["name"] = "x"
    short = draw(interferogram, bump((100, 100)))
    badge = (picture.width - 190, 10, picture.width, 60)
    assert np.array_equal(np.asarray(picture.crop(badge)), np.asarray(short.crop(badge)))


def test_many_regions_and_several_parts():
    parts = [
        shapely.box(10, 10, 20, 20),
        shapely.MultiPolygon([shapely.box(30, 30, 40, 40), shapely.box(50, 50, 60, 60)]),
    ]
    regions = gpd.GeoDataFrame({"region": [1, 2]}, geometry=parts)
    interferogram = scene((100, 100))
    quiet = Scan(np.full((25, 25), -9, np.float32), np.ones((25, 25), bool), (100, 100), 4)
    facts = {"score": 0.1, "flagged": False, "threshold": 0.6}
    with_regions = draw_scene(interferogram, quiet, regions, CARD, **facts)
    without = draw_scene(interferogram, quiet, regions.iloc[:0], CARD, **facts)
    changed = (np.asarray(with_regions) != np.asarray(without)).any(axis=2)
    assert changed.sum() > 1000


# Table


def row(name, score=0.5, **options):
    values = {"file": f"/data/{name}.tif", "name": name, "status": "ok", "score": score, "flagged": score >= 0.6}
    values |= {"detections": int(score >= 0.6), "max_probability": score, "seconds": 0.1, "model": "made-up"}
    return SceneRow(**{**values, **options})


def failure(name, message="is broken"):
    return SceneRow(file=f"/data/{name}.tif", name=name, status="failed", message=f"/data/{name}.tif: {message}")


def test_summary_round_trip(tmp_path):
    rows = [
        row("a", 0.98765, area_km2=12.5, message='commas, "quotes"', reference_date="2020-01-01"),
        row("b,c", 0.1),
        failure("d"),
    ]
    write_summary(tmp_path / "summary.csv", rows)
    lines = (tmp_path / "summary.csv").read_text().splitlines()
    wanted = "file status score flagged detections max_probability reference_date secondary_date product model"
    assert {*wanted.split(), "seconds", "message"} <= set(lines[0].split(","))
    back = read_summary(tmp_path / "summary.csv")
    assert back == [dataclasses.replace(rows[0], score=0.9877, max_probability=0.9877), *rows[1:]]
    assert back[0].flagged is True
    assert back[2].score is back[2].flagged is back[2].detections is None


def test_what_is_no_summary(tmp_path):
    (tmp_path / "s.csv").write_text("file,label\na,1\n")
    with pytest.raises(ProductError, match=r"s\.csv: is no summary of a run"):
        read_summary(tmp_path / "s.csv")
    with pytest.raises(ProductError, match="is no summary of a run"):
        read_summary(tmp_path / "missing.csv")
    write_summary(tmp_path / "s.csv", [row("a")])
    (tmp_path / "s.csv").write_text((tmp_path / "s.csv").read_text().replace(",ok,", ",fine,"))
    with pytest.raises(ProductError, match="unknown status 'fine'"):
        read_summary(tmp_path / "s.csv")


def test_order_is_flagged_then_score_then_failures():
    rows = [failure("f"), row("low", 0.1), row("high", 0.9), row("mid", 0.61), row("odd", 0.95, flagged=False)]
    assert [item.name for item in report_order(rows)] == ["high", "mid", "odd", "low", "f"]


# Page


class Strict(html.parser.HTMLParser):
    """Checks that tags nest, and collects what the page would fetch."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self):
        super().__init__()
        self.stack, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.stack.append(tag)
        self.fetched += [value for key, value in attributes if key == "src" or (tag == "link" and key == "href")]

    def handle_startendtag(self, tag, attributes):
        self.fetched += [value for key, value in attributes if key in {"src", "href"}]

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(page):
    parser = Strict()
    parser.feed(page)
    assert parser.stack == []
    return parser


def test_the_page_stands_alone_and_is_well_formed():
    rows = [row("hit", 0.93, area_km2=3.2), row("quiet", 0.2), row("other", 0.3), failure("bad")]
    page = render_report(rows, CARD, FACTS, {"hit": "data:image/webp;base64,AAAA"})
    parser = parse(page)
    assert parser.fetched == ["data:image/webp;base64,AAAA"]
    assert not re.search(r"https?://|@import|url\(", page)
    text = " ".join(" ".join(parser.text).split())
    assert "Deformation flagged in 1 of 3 scenes" in text
    assert "1 file could not be scanned" in text
    assert "is broken" in text
    assert "made-up 7 (none, 12,345 parameters, int8)" in text
    assert "2.0% of quiet scenes at 0.600, measured on 500 quiet scenes" in text
    assert "Shown is the scene with the highest score" in text
    assert 'href="hit.probability.tif"' in page
    assert "<svg" in page


def test_names_and_messages_cannot_break_the_page():
    nasty = '"><script>alert(1)</script>&'
    rows = [row(nasty, 0.9, message=nasty, product=nasty), failure(nasty, nasty)]
    page = render_report(rows, CARD, FACTS, {nasty: "data:image/webp;base64,AAAA"})
    parse(page)
    assert page.count("<script>") == 1
    assert "alert(1)</script>" not in page


@pytest.mark.parametrize(
    ("rows", "headline"),
    [
        ([], "No scene could be scanned"),
        ([failure("a")], "No scene could be scanned"),
        ([row("a", 0.1)], "No deformation flagged in 1 scene"),
        ([row("a", 0.9), row("b", 0.8)], "Deformation flagged in 2 of 2 scenes"),
    ],
)
def test_headlines(rows, headline):
    page = render_report(rows, CARD, FACTS, {})
    parse(page)
    assert f"<h1>{headline}</h1>" in page


def test_a_threshold_of_the_run_is_told_from_the_cards():
    page = render_report([row("a")], CARD, dataclasses.replace(FACTS, threshold=0.3), {})
    assert "0.300 (set for this run; the card&#x27;s is 0.600)" in page


def test_a_page_of_many_scenes_stays_small():
    rows = [row(f"scene{index:05}", index / 20_000) for index in range(20_000)] + [
        failure(f"f{i}") for i in range(5000)
    ]
    page = render_report(rows, CARD, FACTS, {})
    assert len(page) < 3_000_000
    assert "The first 2,000 of 25,000 files" in page
    assert "and 4,800 more, in summary.csv" in page


def test_embedded_pictures_are_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (700, 1240, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    uri = embed_picture(tmp_path / "p.png")
    assert uri.startswith("data:image/webp;base64,")
    assert len(uri) < 500_000
    with pytest.raises(OSError, match="nothing"):
        embed_picture(tmp_path / "nothing.png")


def test_the_template_names_only_what_is_filled_in():
    names = set(re.findall(r"\$(\w+)", page_template("fringewatch.report").template))
    assert names == {
        *("headline", "subtitle", "cards", "histogram", "failures", "gallery", "rows", "truncated", "model", "version"),
    }
