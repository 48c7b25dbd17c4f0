"""Alerts from catalogue to receiver: each event once, whatever the order, the failures and the kills."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import importlib
import json
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import shapely

from fringewatch import cli
from fringewatch.alerts import AlertsConfig, ledger, run
from fringewatch.alerts.ledger import Ledger
from fringewatch.catalog import Catalog, SceneRecord
from fringewatch.errors import CatalogError, ConfigError, DeliveryError
from fringewatch.report import SceneRow

DAY0 = dt.date(2016, 1, 1)
LOG = "channels: {log: {type: file, path: alerts.jsonl}}\n"
PERSISTENT = "rules: [{name: unrest, hits: 2, of_last: 3}]\n" + LOG


def day(number):
    return DAY0 + dt.timedelta(days=int(number))


def chain(site, scores, *, start=0, step=12):
    return [(site, day(start + step * i), day(start + step * (i + 1)), score) for i, score in enumerate(scores)]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "catalog.gpkg"


@pytest.fixture
def look(tmp_path, place):
    """Return a function that runs `fringewatch alerts` on the catalogue with the text of a rules file."""

    def look(text=PERSISTENT, **options):
        path = tmp_path / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return run(AlertsConfig(catalog=str(place), rules=path, **options))

    return look


def told(tmp_path):
    path = tmp_path / "alerts.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def count(place, query):
    with contextlib.closing(sqlite3.connect(place)) as connection:
        return connection.execute(query).fetchone()[0]


@pytest.mark.slow
def test_ten_thousand_scenes_with_twenty_events(tmp_path, place, look, fill_catalog):
    """Scenes come in any order and in five lots, with a look after each; single noisy pairs raise nothing."""
    rng = np.random.default_rng(1)
    names = [f"Site {number:02}" for number in range(40)]
    scores = {name: rng.uniform(0, 0.4, 250) for name in names}
    events = []
    for name in names[:15]:
        begins = [50] if len(events) >= 10 else [50, 170]
        for begin in begins:
            scores[name][begin : begin + rng.integers(2, 8)] = rng.uniform(0.6, 1)
            events.append((name, begin))
    assert len(events) == 20
    for name in names:
        # Every hundred days or more, one noisy pair.
        scores[name][[10, 30, 110, 130, 210, 230]] = rng.uniform(0.6, 0.9, 6)
    pairs = [pair for name in names for pair in chain(name, scores[name])]
    assert len(pairs) == 10_000
    order = rng.permutation(len(pairs))
    for lot in np.array_split(order, 5):
        fill_catalog(place, [pairs[index] for index in lot], names=names)
        look()
    found = sorted((alert["site"], alert["start"]) for alert in told(tmp_path))
    assert len(found) == 20
    for (name, start), (wanted, begin) in zip(found, sorted(events), strict=True):
        assert name == wanted
        assert abs((dt.date.fromisoformat(start) - day(12 * begin)).days) < 100
    look()
    assert len(told(tmp_path)) == 20


def test_late_pairs(tmp_path, place, look, fill_catalog):
    """Older pairs come last: an event of their own is told of, one that leads up to a known event is not."""
    fill_catalog(place, chain("A", [0, 0.9, 0.9, 0], start=1000), names=["A"])
    assert len(look().fresh) == 1
    fill_catalog(place, chain("A", [0.9, 0.9, 0.9], start=950), names=["A"])
    assert look().fresh == ()
    fill_catalog(place, chain("A", [0.9, 0.9], start=200), names=["A"])
    (event,) = look().fresh
    assert event.start == day(200)
    # Between the two, so that all become one: nothing new.
    fill_catalog(place, chain("A", [0.9] * 60, start=224), names=["A"])
    assert look().fresh == ()
    assert [alert["start"] for alert in told(tmp_path)] == [str(day(1012)), str(day(200))]
    assert "newest pair ends 824 days later" in told(tmp_path)[1]["text"]


def test_an_event_that_goes_on_is_told_of_once(tmp_path, place, look, fill_catalog):
    for start in range(0, 500, 50):
        fill_catalog(place, chain("A", [0.9] * 4, start=start), names=["A"])
        look()
    assert len(told(tmp_path)) == 1
    assert count(place, "SELECT end_date FROM alerts") == str(day(450 + 48))


def test_scanning_again_tells_nothing_again(tmp_path, place, look, fill_catalog):
    for _ in range(2):
        fill_catalog(place, chain("A", [0.9, 0.9]), names=["A"])
        look()
    assert len(told(tmp_path)) == 1


def test_the_clock_of_the_machine_does_not_matter(tmp_path, place, look, fill_catalog, monkeypatch):
    for year in (2031, 1970, 2026):
        monkeypatch.setattr(ledger, "now", lambda year=year: dt.datetime(year, 1, 1))
        fill_catalog(place, chain("A", [0.9, 0.9], start=year - 1970), names=["A"])
        look()
    assert len(told(tmp_path)) == 1


def test_a_dry_run_changes_nothing(tmp_path, place, look, fill_catalog, capsys):
    fill_catalog(place, chain("A", [0.9, 0.9]), names=["A"])
    before = place.read_bytes()
    assert len(look(dry_run=True).fresh) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("A: 2 pairs from 2016-01-01 to 2016-01-25 show deformation")
    assert captured.out.endswith("-> log\n")
    assert "dry run: 1 new alert, nothing was recorded or sent" in captured.err
    assert place.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"catalog.gpkg", "rules.yaml"}
    look()
    assert look(dry_run=True).fresh == ()


KILLED = """
import os, signal, sys
from fringewatch.alerts import ledger
from fringewatch.cli import main
step, number = {step!r}, {number}
real, calls = getattr(ledger.Ledger, step), []
def killed(self, *arguments):
    calls.append(1)
    if len(calls) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, *arguments)
setattr(ledger.Ledger, step, killed)
main(["alerts", sys.argv[1], "--rules", sys.argv[2]])
"""


@pytest.mark.parametrize(("step", "number", "lines"), [("record", 1, 0), ("pending", 1, 0), ("mark", 2, 2)])
def test_a_kill_loses_nothing_and_writes_no_line_twice(tmp_path, place, look, fill_catalog, step, number, lines):
    """Before anything is recorded; after that; and between the second line and the note that it was written."""
    pairs = [pair for name in "ABC" for pair in chain(name, [0.9, 0.9])]
    fill_catalog(place, pairs, names="ABC")
    (tmp_path / "rules.yaml").write_text(PERSISTENT)
    code = KILLED.format(step=step, number=number)
    arguments = [sys.executable, "-c", code, str(place), str(tmp_path / "rules.yaml")]
    assert subprocess.run(arguments, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert len(told(tmp_path)) == lines
    look()
    assert sorted(alert["site"] for alert in told(tmp_path)) == ["A", "B", "C"]
    assert count(place, "SELECT count(*) FROM alert_deliveries WHERE status = 'sent' AND attempts = 1") == 3


class Receiver:
    """A channel that fails as told, dies as told, and keeps what it was given."""

    def __init__(self):
        self.got, self.refuses, self.unreachable, self.opened = [], set(), False, 0

    def open(self, channel, name, folder):
        self.opened += 1
        if self.unreachable:
            message = f"channel {name!r}: nobody there"
            raise DeliveryError(message)
        return self

    def send(self, content):
        if content["site"] in self.refuses:
            message = f"refused {content['site']}"
            raise DeliveryError(message)
        self.got.append(content)

    def close(self):
        pass


@pytest.fixture
def receiver(monkeypatch):
    made = Receiver()
    module = sys.modules["fringewatch.alerts.run"]
    real = module.open_sender

    def choose(channel, name, folder):
        return made.open(channel, name, folder) if name == "hook" else real(channel, name, folder)

    monkeypatch.setattr(module, "open_sender", choose)
    return made


HOOK = "hook: {type: webhook, url: 'http://localhost:1'}"
BOTH = "rules: [{name: unrest}]\nchannels: {log: {type: file, path: alerts.jsonl}, " + HOOK + "}\n"


def test_what_was_sent_but_not_noted_is_sent_again_under_the_same_key(place, look, fill_catalog, receiver, monkeypatch):
    fill_catalog(place, chain("A", [0.9]), names=["A"])
    real = Ledger.mark

    def stopped(self, delivery, problem=""):
        raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "mark", stopped)
    text = "rules: [{name: unrest}]\nchannels: {" + HOOK + "}\n"
    with pytest.raises(KeyboardInterrupt):
        look(text)
    monkeypatch.setattr(Ledger, "mark", real)
    look(text)
    look(text)
    assert len(receiver.got) == 2
    assert receiver.got[0] == receiver.got[1]


def test_what_fails_is_tried_by_the_next_run(tmp_path, place, look, fill_catalog, receiver, capsys):
    fill_catalog(place, chain("A", [0.9]), names="AB")
    receiver.unreachable = True
    result = look(BOTH)
    assert (result.sent, result.exit_code) == (1, 3)
    assert "not delivered, the next run tries again: channel 'hook': nobody there" in capsys.readouterr().err
    assert (
        count(place, "SELECT message FROM alert_deliveries WHERE status = 'pending'") == "channel 'hook': nobody there"
    )
    assert look(BOTH).exit_code == 1
    receiver.unreachable = False
    fill_catalog(place, chain("B", [0.9]), names="AB")
    result = look(BOTH)
    assert (result.sent, result.exit_code) == (3, 0)
    # What was never tried goes first: a message that always fails must not keep the others back.
    assert [content["site"] for content in receiver.got] == ["B", "A"]
    assert len(told(tmp_path)) == 2
    assert count(place, "SELECT max(attempts) FROM alert_deliveries") == 3


def test_a_channel_is_left_alone_after_three_failures_in_a_row(place, look, fill_catalog, receiver):
    fill_catalog(place, [pair for name in "ABCDEFG" for pair in chain(name, [0.9])], names="ABCDEFG")
    receiver.refuses = set("ABDEF")
    assert look(BOTH).exit_code == 3
    assert [content["site"] for content in receiver.got] == ["C"]
    assert look(BOTH).sent == 1
    assert [content["site"] for content in receiver.got] == ["C", "G"]
    receiver.refuses = set()
    look(BOTH)
    assert sorted(content["site"] for content in receiver.got) == list("ABCDEFG")


def test_channels_that_come_and_go(tmp_path, place, look, fill_catalog, receiver, capsys):
    """A new channel gets new alerts only; what waits for one that is gone is told of, and kept."""
    only_log = "rules: [{name: unrest}]\n" + LOG
    fill_catalog(place, chain("A", [0.9]), names="AB")
    look(only_log)
    receiver.unreachable = True
    fill_catalog(place, chain("B", [0.9]), names="AB")
    look(BOTH)
    result = look(only_log)
    assert result.orphans == 1
    assert "1 message for channels that the rules no longer name" in capsys.readouterr().err
    receiver.unreachable = False
    look(BOTH)
    assert [content["site"] for content in receiver.got] == ["B"]


def test_two_at_once(place, look, fill_catalog):
    fill_catalog(place, chain("A", [0.9]), names=["A"])
    with Ledger(str(place)) as other, other.alone(), pytest.raises(CatalogError, match="another `fringewatch alerts`"):
        look()
    assert len(look("rules: [{name: unrest}]\n" + LOG).fresh) == 1


def test_two_at_once_through_a_link(tmp_path, place, look, fill_catalog):
    fill_catalog(place, chain("A", [0.9]), names=["A"])
    link = tmp_path / "link.gpkg"
    link.symlink_to(place)
    with Ledger(str(link)) as other, other.alone(), pytest.raises(CatalogError, match="another `fringewatch alerts`"):
        look()


def test_a_channel_that_is_named_twice_gets_one_message(tmp_path, place, look, fill_catalog):
    fill_catalog(place, chain("A", [0.9]), names=["A"])
    assert len(look("rules: [{name: unrest, channels: [log, log]}]\n" + LOG).fresh) == 1
    assert len(told(tmp_path)) == 1


def test_a_run_of_detect_can_write_meanwhile(place, look, fill_catalog):
    fill_catalog(place, chain("A", [0.9, 0.9]), names="AB")
    with Ledger(str(place)) as other, other.alone():
        fill_catalog(place, chain("B", [0.9, 0.9]), names="AB")
    assert len(look().fresh) == 2


def test_watching(tmp_path, place, look, fill_catalog, monkeypatch, capsys):
    """New scenes are seen at the next look, and a catalogue that is gone for a while ends nothing."""
    fill_catalog(place, chain("A", [0.9, 0.9]), names="AB")
    hidden = tmp_path / "hidden.gpkg"
    between = [
        lambda: place.rename(hidden),
        lambda: hidden.rename(place),
        lambda: fill_catalog(place, chain("B", [0.9, 0.9]), names="AB"),
    ]
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if not between:
            raise KeyboardInterrupt
        between.pop(0)()

    monkeypatch.setattr("time.sleep", nap)
    with pytest.raises(KeyboardInterrupt):
        look(watch=True, every_s=17)
    assert [alert["site"] for alert in told(tmp_path)] == ["A", "B"]
    assert set(naps) == {17}
    assert "no such catalogue" in capsys.readouterr().err


def test_pairs_of_a_site(tmp_path, place, look, fill_catalog):
    """Rejected scenes are no hits, nor what another file shows already."""
    fill_catalog(place, chain("A", [0.9, 0.9, 0.1]), names=["A"])
    with Catalog.open(place) as catalog:
        files = catalog.query()["file"].tolist()
        catalog.add_review(files[0], "rejected", reviewer="me")
    assert look().fresh == ()
    with Catalog.open(place) as catalog:
        catalog.add_review(files[0], "confirmed", reviewer="you")
    assert len(look().fresh) == 1
    with Ledger(str(place), writable=False) as book:
        pairs = book.pairs()
        assert book.threshold() == 0.9
    assert pairs["score"].tolist() == [0.9, 0.9, 0.1]
    assert pairs["flagged"].tolist() == [True, True, False]


def test_a_verdict_holds_for_the_copy_that_stands_for_a_scene(place, look, fill_catalog):
    pairs = chain("A", [0.9, 0.9])
    fill_catalog(place, pairs, names=["A"])
    with Catalog.open(place) as catalog:
        files = catalog.query()["file"].tolist()
        for file in files:
            catalog.add_review(file, "rejected")
    # The archive moved, and another model looks at it.
    fill_catalog(place, pairs, names=["A"], folder="/elsewhere", settings="other")
    with Catalog.open(place) as catalog:
        moved = catalog.query()["file"].tolist()
        assert not set(files) & set(moved)
    assert look().fresh == ()
    with Catalog.open(place) as catalog:
        for file in moved:
            catalog.add_review(file, "confirmed")
    assert len(look().fresh) == 1


def test_a_timeline_of_nothing_tells_no_password(place, fill_catalog, monkeypatch, tmp_path, capsys):
    fill_catalog(place, [], names=["A"])
    module = importlib.import_module("fringewatch.timeline.run")
    monkeypatch.setattr(module, "Ledger", lambda _, **options: Ledger(str(place), **options))
    address = "postgresql://tester:pa/ss@host/insar?password=pass"
    assert cli.main(["timeline", address, "--out", str(tmp_path / "pages")]) == 2
    assert "postgresql://tester:***@host/insar: no dated scenes" in capsys.readouterr().err


def test_misspelt_sites_and_scenes_that_no_rule_sees(place, look, fill_catalog, capsys):
    fill_catalog(place, [("Etna", day(0), "", 0.9)], names=["Etna"])
    look("rules: [{name: a, sites: [Edna, et*], kinds: [volcanoes]}]\n" + LOG)
    said = capsys.readouterr().err
    assert "rule 'a': sites: the catalogue has no site 'Edna'; did you mean 'Etna'?" in said
    assert "rule 'a': kinds: no site is of kind 'volcanoes'; there are: " in said
    assert "1 scene without dates or coordinates: no rule sees them" in said


def test_scenes_of_which_no_height_trend_was_asked_are_told_of(place, look, fill_catalog, capsys):
    strict = "rules: [{name: strict, min_score: 0.5, height_trend: remove}]\n" + LOG
    for config, count in (("height_trend: check", 0), ("height_trend: keep", 2), ("", 2)):
        fill_catalog(place, chain("A", [0.9, 0.9, 0.1]), names=["A"], config=f"inputs: []\n{config}\n")
        look(strict)
        said = capsys.readouterr().err
        assert ("2 flagged scenes scanned without asking for height trends" in said) == bool(count)
    look()
    assert "height trends" not in capsys.readouterr().err


def test_scenes_far_from_every_site_are_told_of(place, look, capsys):
    rows = [SceneRow(file=f"/{name}.tif", name=name, status="ok", score=0.9, flagged=True) for name in "ab"]
    dated = [dataclasses.replace(row, reference_date="2018-01-01", secondary_date="2018-01-13") for row in rows]
    outlines = [shapely.box(18, 50, 19, 51), None]
    records = [SceneRecord(row=row, state="", footprint=box) for row, box in zip(dated, outlines, strict=True)]
    with Catalog.open(place) as catalog:
        catalog.add(catalog.start_run(settings="s"), records)
    for dry_run in (True, False):
        look(dry_run=dry_run)
        said = capsys.readouterr().err.splitlines()
        assert "1 scene without dates or coordinates: no rule sees them" in said
        assert sum(line.startswith("1 scene without a site within 25 km: no rule sees them; ") for line in said) == 1


def test_a_dry_run_does_not_watch(look):
    with pytest.raises(ConfigError, match="--dry-run --watch: a dry run is one look"):
        look(dry_run=True, watch=True)


@pytest.mark.parametrize(("name", "what"), [("rules.yaml", "the rules file"), ("catalog.gpkg", "the catalogue")])
def test_alerts_are_not_appended_to_rules_or_catalogue(tmp_path, place, look, fill_catalog, name, what):
    fill_catalog(place, chain("A", [0.9]), names=["A"])
    (tmp_path / "link").symlink_to(tmp_path / name)
    before = place.read_bytes()
    for path in (name, "link"):
        text = f"rules: [{{name: a}}]\nchannels: {{log: {{type: file, path: {path}}}}}"
        for dry_run in (True, False):
            with pytest.raises(ConfigError, match=f"channel 'log': path = {path}: is {what}; name a file of its own"):
                look(text, dry_run=dry_run)
        assert (tmp_path / "rules.yaml").read_text() == text
    assert place.read_bytes() == before


def test_the_command(tmp_path, place, fill_catalog, capsys):
    fill_catalog(place, chain("A", [0.9]), names=["A"])
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: a}]\nchannels: {screen: {type: file, path: '-'}}\n")
    assert cli.main(["alerts", str(place), "--rules", str(rules)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["site"] == "A"
    assert captured.err == "1 new alert, 1 message sent\n"
    assert cli.main(["alerts", str(place), "--rules", str(rules)]) == 0
    assert capsys.readouterr() == ("", "")
    assert cli.main(["alerts", str(tmp_path / "no.gpkg"), "--rules", str(rules)]) == 1
    assert "no such catalogue" in capsys.readouterr().err
    rules.write_text("rules: []\n")
    assert cli.main(["alerts", str(place), "--rules", str(rules)]) == 2


def test_the_same_in_postgis(tmp_path, postgis_url, fill_catalog):
    fill_catalog(postgis_url, chain("A", [0, 0.9, 0.9, 0]) + chain("B", [0.9, 0]), names="AB")
    rules = tmp_path / "rules.yaml"
    rules.write_text(PERSISTENT)
    config = AlertsConfig(catalog=postgis_url, rules=rules)
    with Ledger(postgis_url) as other, other.alone(), pytest.raises(CatalogError, match="another `fringewatch alerts`"):
        run(config)
    assert len(run(config.model_copy(update={"dry_run": True})).fresh) == 1
    assert run(config).sent == 1
    fill_catalog(postgis_url, chain("A", [0.9], start=48), names="AB")
    assert run(config).sent == 0
    assert [alert["site"] for alert in told(tmp_path)] == ["A"]
    with Ledger(postgis_url, writable=False) as book:
        (alert,) = book.alerts()
        assert (alert.start, alert.end, alert.pending) == (day(12), day(60), 0)
