"""Timelines: bars where the dates are, counts that add up, pages that stand alone, the command."""

from __future__ import annotations

import datetime as dt
import html.parser
import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fringewatch import cli
from fringewatch.alerts import AlertsConfig, Site
from fringewatch.alerts import run as run_alerts
from fringewatch.alerts.ledger import RecordedAlert
from fringewatch.errors import ConfigError
from fringewatch.figures import plot_timeline
from fringewatch.timeline import SiteTimeline, TimelineConfig, run
from fringewatch.timeline.page import render_index, render_site
from fringewatch.timeline.svg import chart_pairs, sparkline

DAY0 = np.datetime64("2020-01-01")
ETNA = Site(1, "Etna", "211060", "volcano")
ALERT = RecordedAlert("unrest", 1, dt.date(2020, 2, 6), dt.date(2020, 3, 1), 0.9, "Etna moves", 0)


def timeline(*pairs, site=ETNA, alerts=(), threshold=0.5):
    """Rows of (first day, last day, score)."""
    start, end, score = (np.array(column) for column in zip(*pairs, strict=True))
    days = [(DAY0 + each).astype("datetime64[s]") for each in (start, end)]
    table = pd.DataFrame(
        {
            "site_id": site.site_id,
            "reference_date": days[0],
            "secondary_date": days[1],
            "first_date": np.minimum(*days),
            "last_date": np.maximum(*days),
            "score": score.astype(float),
            "flagged": score >= 0.5,
            "area_km2": np.where(score >= 0.5, 3.0, np.nan),
            "level_score": np.nan,
            "name": [f"pair_{first}_{last}" for first, last in zip(start, end, strict=True)],
            "file": "/data/x.tif",
        }
    )
    return SiteTimeline(site, table.sort_values(["last_date", "first_date"]), tuple(alerts), threshold)


def test_months_have_no_gaps_and_count_every_pair():
    months = timeline((0, 12, 0.1), (0, 20, 0.9), (80, 95, 0.1), (90, 121, 0.8)).months
    assert [str(month)[:7] for month in months.month] == ["2020-01", "2020-02", "2020-03", "2020-04", "2020-05"]
    assert months.pairs.tolist() == [2, 0, 0, 1, 1]
    assert months.flagged.tolist() == [1, 0, 0, 0, 1]


def parts(chart, kind):
    return [group for group in ET.fromstring(chart).iter("g") if group.get("class") == kind]


def bar(group):
    """First x, height, last x of a pair's bar."""
    return tuple(map(float, re.fullmatch(r"M([\d.]+) ([\d.]+)H([\d.]+)", group.find("path").get("d")).groups()))


def test_bars_lie_between_their_dates_at_their_score():
    chart = chart_pairs(timeline((0, 100, 0.0), (100, 200, 0.9), (200, 399, 0.25)))
    (low, quarter), (hot,) = map(bar, parts(chart, "cold")), map(bar, parts(chart, "hot"))
    width = quarter[2] - low[0]
    assert low[2] == pytest.approx(low[0] + width * 100 / 399, abs=0.5)
    assert hot[0] == low[2]
    assert (low[1] - hot[1]) / (low[1] - quarter[1]) == pytest.approx(0.9 / 0.25, rel=1e-3)
    assert parts(chart, "hot")[0].find("title").text == "2020-04-10 to 2020-07-19: 0.900, pair_100_200"
    threshold = next(path for path in ET.fromstring(chart).iter("path") if path.get("class") == "threshold")
    assert float(threshold.get("d").split()[1].partition("H")[0]) == pytest.approx(low[1] - (low[1] - hot[1]) / 1.8)


def test_a_chart_of_the_last_year_leaves_out_what_ended_before():
    whole = timeline((0, 12, 0.1), (12, 500, 0.1), (600, 700, 0.9), alerts=[ALERT])
    chart = chart_pairs(whole, since=DAY0 + 400)
    (cold,), (hot,) = map(bar, parts(chart, "cold")), map(bar, parts(chart, "hot"))
    assert cold[0] < cold[2] < hot[0] < hot[2]
    assert cold[0] == bar(parts(chart_pairs(whole), "cold")[0])[0]  # cut off at the axis
    assert parts(chart, "alert") == []
    assert [group.find("title").text for group in parts(chart_pairs(whole), "alert")] == ["Etna moves"]


def test_a_pair_named_newer_date_first_is_drawn_forwards():
    backwards = timeline((1, 0, 0.9), (12, 0, 0.2))
    assert (backwards.first, backwards.last) == (dt.date(2020, 1, 1), dt.date(2020, 1, 13))
    assert backwards.bars.start.tolist() == [dt.date(2020, 1, 1)] * 2
    assert len(parts(chart_pairs(timeline((1, 0, 0.9))), "hot")) == 1  # formerly an axis of no length
    page = render_site(backwards, picture=False)
    assert "2 pairs from 2020-01-01 to 2020-01-13" in page
    assert "<td>2020-01-02</td><td>2020-01-01</td>" in page  # as the file names them


def test_what_is_left_without_the_terrain_hangs_below_the_bar(tmp_path):
    doubtful = timeline((0, 12, 0.9), (12, 24, 0.8), (24, 36, 0.1))
    plain = render_site(doubtful, picture=False)
    assert "height trend" not in plain
    doubtful.pairs["level_score"] = [0.15, np.nan, np.nan]
    first, second = parts(chart_pairs(doubtful), "hot")
    assert first.find("title").text.endswith("0.900, pair_0_12; 0.150 without its height trend")
    solid, ring = first.findall("circle")
    quiet = bar(parts(chart_pairs(doubtful), "cold")[0])[1]
    height = bar(first)[1]
    assert (quiet - float(ring.get("cy"))) / (quiet - height) == pytest.approx(0.05 / 0.8, abs=0.01)
    assert ring.get("cx") == solid.get("cx")
    assert len(second.findall("circle")) == 1
    page = render_site(doubtful, picture=False)
    assert "its score without the height trend, where it follows the terrain" in page
    assert 'pair_0_12<span class="note"> (0.15 without its height trend)' in page
    for name, pairs in (("plain.png", timeline((0, 12, 0.9))), ("level.png", doubtful)):
        plot_timeline(tmp_path / name, pairs.bars, pairs.months, title="Etna", subtitle="", threshold=0.5)
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "level.png").read_bytes()


def test_unknown_scores_and_thresholds_are_not_drawn():
    chart = chart_pairs(timeline((0, 12, np.nan), (12, 24, 0.2), threshold=None))
    assert len(parts(chart, "cold")) == 1
    assert "threshold" not in chart


@pytest.mark.parametrize("days", [12, 100, 400, 3000, 12000])
def test_ticks_are_few_and_in_order(days):
    texts = [item.text for item in ET.fromstring(chart_pairs(timeline((0, days, 0.1)))).iter("text")]
    dates = [text for text in texts if re.fullmatch(r"\d{4}(-\d\d)?", text)]
    assert 0 <= len(dates) <= 23
    assert dates == sorted(dates)
    assert days == 12 or dates


def test_sparklines_end_in_the_same_month():
    months = timeline((0, 12, 0.1), (0, 20, 0.9)).months
    last = np.datetime64("2020-03-15")
    rects = list(ET.fromstring(sparkline(months, last)).iter("rect"))
    assert {rect.get("x") for rect in rects} == {str(180 - 3 * 3)}
    assert [rect.get("class") for rect in rects] == ["cold", "hot"]
    assert float(rects[0].get("height")) == 2 * float(rects[1].get("height"))
    assert not list(ET.fromstring(sparkline(months, np.datetime64("2026-01-01"))).iter("rect"))


class Strict(html.parser.HTMLParser):
    """Checks that tags nest, and collects links and text."""

    def __init__(self, page):
        super().__init__()
        self.stack, self.links, self.text = [], [], ""
        self.feed(page)
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "input"}:
            self.stack.append(tag)
        self.links += [value for key, value in attributes if key in {"src", "href"}]

    def handle_startendtag(self, tag, attributes):
        assert tag not in {"img", "link", "script"}

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_pages_stand_alone_and_take_any_name():
    nasty = Site(2, '"><script>alert(1)</script>&', "", "mine")
    moving = timeline((0, 12, 0.9), (12, 800, 0.1), alerts=[ALERT._replace(text=nasty.name, rule=nasty.name)])
    moving.pairs["name"] = nasty.name
    for page in (
        render_site(SiteTimeline(nasty, moving.pairs, moving.alerts, 0.5), picture=True),
        render_index([SiteTimeline(nasty, moving.pairs, moving.alerts, 0.5), timeline((0, 12, 0.1))]),
    ):
        parsed = Strict(page)
        assert nasty.name in parsed.text
        assert page.count("<script>") == 1
        assert not re.search(r"https?://|@import|url\(", page)
        assert not [link for link in parsed.links if not re.fullmatch(r"#\w+|[\w.-]+\.(html|png)", link)]


def test_a_page_tells_what_there_is():
    page = render_site(timeline((0, 12, 0.1), (30, 50, 0.9), (40, 52, np.nan), alerts=[ALERT]), picture=False)
    text = " ".join(Strict(page).text.split())
    assert "volcano 211060 · 3 pairs from 2020-01-01 to 2020-02-22 · 1 flagged · last alert until 2020-03-01" in text
    assert "1 of the pairs are not drawn" in text
    assert "Last twelve months" not in text
    assert ".png" not in page
    assert page.count('<tr class="flagged">') == 1
    assert "Last twelve months" in render_site(timeline((0, 12, 0.1), (700, 712, 0.1)), picture=False)


def test_pages_of_long_records_stay_small():
    pairs = [(i, i + 12, 0.9) for i in range(3000)]
    page = render_site(timeline(*pairs), picture=False)
    assert page.count('<tr class="flagged">') == 2000
    assert "The latest 2,000 of 3,000" in page
    assert len(page) < 1_500_000


def test_sites_with_the_latest_alerts_come_first():
    quiet = timeline((0, 12, 0.1), site=Site(2, "Quiet", "2", "mine"))
    noisy = timeline((0, 12, 0.9), site=Site(3, "Noisy", "3", "mine"))
    older = timeline((0, 12, 0.9), site=Site(4, "Older", "4", "mine"), alerts=[ALERT])
    newer = timeline((0, 12, 0.9), alerts=[ALERT, ALERT._replace(start=dt.date(2021, 1, 1))])
    page = render_index([quiet, older, noisy, newer])
    names = re.findall(r'<td class="name"><a href="([\w-]+)\.html">', page)
    assert names == ["Etna-211060-1", "Older-4-4", "Noisy-3-3", "Quiet-2-2"]


def test_sites_that_look_alike_have_files_of_their_own():
    alike = [
        Site(1, "Pit A", "7", "mine"),
        Site(2, "Pit A", "7", "volcano"),
        Site(3, "pit-a", "7", "mine"),
        Site(7, "Pit A", "", "mine"),
    ]
    names = [timeline((0, 12, 0.1), site=site).file_name for site in alike]
    assert names == ["Pit-A-7-1", "Pit-A-7-2", "pit-a-7-3", "Pit-A-7"]
    assert len({name.casefold() for name in names}) == len(names)


def test_the_picture_shows_flagged_pairs_and_alerts(tmp_path):
    pairs = [(12 * i, 12 * i + 12, 0.9 if 4 <= i < 8 else 0.1) for i in range(60)]
    moving = timeline(*pairs)
    spans = [(DAY0 + 48, DAY0 + 96)]
    for name, alerts in (("with", spans), ("without", [])):
        plot_timeline(
            tmp_path / f"{name}.png",
            moving.bars,
            moving.months,
            title="Etna",
            subtitle="s",
            threshold=0.5,
            alerts=alerts,
        )
    pictures = [np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"), int) for name in ("with", "without")]
    height, width, _ = pictures[0].shape
    assert (width, height) == (1440, 648)
    red = (np.abs(pictures[1] - (0xB0, 0x18, 0x30)).sum(axis=2) < 80)[112:460]
    columns = np.flatnonzero(red.any(axis=0))
    # Days 48 to 96 of 720, over the width of the axes.
    expected = 1440 * (0.055 + 0.925 * (np.array([48, 96]) + 9) / (720 + 18))
    assert [columns.min(), columns.max()] == pytest.approx(expected, abs=6)
    changed = np.flatnonzero((pictures[0] != pictures[1]).any(axis=2)[200:400].any(axis=0))
    assert [changed.min(), changed.max()] == pytest.approx(expected, abs=6)


def test_the_command(tmp_path, fill_catalog, capsys):
    place, out = tmp_path / "catalog.gpkg", tmp_path / "pages"
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=12 * i) for i in range(40)]
    names = ["Etna", "Piton de la Fournaise", "Nowhere"]
    pairs = [
        (name, one, other, 0.9 if 5 < i < 9 and name == "Etna" else 0.1)
        for name in names[:2]
        for i, (one, other) in enumerate(itertools.pairwise(days))
    ]
    fill_catalog(place, pairs, names=names)
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: unrest, hits: 2}]\nchannels: {log: {type: file, path: a.jsonl}}\n")
    run_alerts(AlertsConfig(catalog=str(place), rules=rules))
    assert cli.main(["timeline", str(place), "--out", str(out), "--no-png"]) == 0
    assert capsys.readouterr().out == f"2 sites: {out / 'index.html'}\n"
    assert sorted(path.name for path in out.iterdir()) == [
        *("Etna-000000-1.html", "Piton-de-la-Fournaise-000001-2.html", "index.html"),
    ]
    page = (out / "Etna-000000-1.html").read_text("utf-8")
    assert page.count('class="alert"><title>Etna: 3 pairs from 2020-03-13') == 1
    assert "no alert" in (out / "Piton-de-la-Fournaise-000001-2.html").read_text("utf-8")
    assert cli.main(["timeline", str(place), "--out", str(tmp_path / "one"), "--site", "etna"]) == 0
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        *("Etna-000000-1.html", "Etna-000000-1.png", "index.html"),
    ]
    with pytest.raises(ConfigError, match=r"--site 'Edna': the catalogue has no such site; did you mean 'Etna'\?"):
        run(TimelineConfig(catalog=str(place), site=("Edna",), out=out))
    with pytest.raises(ConfigError, match="no dated scenes near Nowhere; scan some first"):
        run(TimelineConfig(catalog=str(place), site=("Nowhere",), out=out))


def test_names_with_signs_and_pairs_named_newer_date_first(tmp_path, fill_catalog):
    """A formula's signs in a name are drawn as they are; brackets are no pattern; days are in the order of time."""
    place, out = tmp_path / "catalog.gpkg", tmp_path / "pages"
    names = ["Pit $A_$", "Pit [1]", "Pit 1"]
    days = dt.date(2020, 1, 2), dt.date(2020, 1, 1)
    fill_catalog(place, [(name, *days, 0.9) for name in names], names=names)
    result = run(TimelineConfig(catalog=str(place), site=tuple(names[:2]), out=out))
    assert result.names == ("Pit-A_-000000-1", "Pit-1-000001-2")
    assert (out / "Pit-A_-000000-1.png").exists()
    assert "1 pair from 2020-01-01 to 2020-01-02" in (out / "Pit-1-000001-2.html").read_text("utf-8")
