"""Rules on pairs: persistence, independence, quiet periods, and that order and repetition change nothing."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest

from fringewatch.alerts import Rule, Site, find_events
from fringewatch.alerts.judge import matching_sites, suggest_sites
from fringewatch.alerts.message import alert_content, alert_key, compose_email
from fringewatch.alerts.rules import EmailChannel

DAY0 = dt.date(2020, 1, 1)
ETNA = Site(1, "Etna", "211060", "volcano")
RULE = Rule(name="r")
MAIL = EmailChannel(host="localhost", sender="a@b.c", recipients=("d@e.f",))
MINE = Site(2, "Pozo Ñandú", "", "mine")


def day(number):
    return DAY0 + dt.timedelta(days=number)


def table(*pairs, site=ETNA):
    """Rows of (first day, last day, score, area)."""
    rows = [(*pair, 10.0)[:4] for pair in pairs]
    first, last = (np.array([day(end(row[:2])) for row in rows], "datetime64[s]") for end in (min, max))
    return pd.DataFrame(
        {
            "site_id": np.full(len(rows), site.site_id),
            "reference_date": np.array([day(row[0]) for row in rows], "datetime64[s]"),
            "secondary_date": np.array([day(row[1]) for row in rows], "datetime64[s]"),
            "first_date": first,
            "last_date": last,
            "score": [float(row[2]) for row in rows],
            "flagged": [row[2] >= 0.5 for row in rows],
            "area_km2": [float(row[3]) for row in rows],
            "level_score": np.nan,
            "name": [f"{site.name}_{row[0]}_{row[1]}" for row in rows],
            "file": "x.tif",
        }
    )


def chain(scores, *, step=12, start=0):
    """Consecutive pairs: each begins where the last ended."""
    return table(*((start + step * i, start + step * (i + 1), score) for i, score in enumerate(scores)))


def days(events):
    return [((event.start - DAY0).days, (event.end - DAY0).days) for event in events]


def events_of(pairs, **rule):
    return find_events(Rule(name="r", **rule), [ETNA, MINE], pairs)


def test_scenes_that_follow_the_terrain_count_without_it_where_the_rule_says_so():
    pairs = chain([0.9, 0.9, 0.9, 0.6])
    pairs["level_score"] = [np.nan, 0.2, 0.8, 0.95]
    assert days(events_of(pairs, min_score=0.7, quiet_days=0)) == [(0, 36)]
    assert days(events_of(pairs, min_score=0.7, quiet_days=0, height_trend="remove")) == [(0, 12), (24, 36)]
    (event,) = events_of(pairs, hits=3, min_score=0.7)
    content = alert_content(event, Rule(name="r"))
    assert [pair["level_score"] for pair in content["pairs"]] == [None, 0.2, 0.8]
    body = compose_email(content, MAIL).get_content()
    assert "0.900" in body
    assert body.count("without its height trend)\n") == 2
    assert "(0.200 without its height trend)" in body


def test_a_sentence_says_what_is_left_without_the_terrain():
    pairs = chain([0.9])
    pairs["level_score"] = [0.25]
    (event,) = events_of(pairs)
    assert "best score 0.900 (0.250 without its height trend), up to 10.0 km²" in alert_content(event, RULE)["text"]


def test_one_hit_is_enough_unless_persistence_is_asked_for():
    lonely = chain([0, 0, 0.9, 0, 0])
    assert days(events_of(lonely)) == [(24, 36)]
    assert events_of(lonely, hits=2) == []
    assert events_of(lonely, hits=2, of_last=5) == []


@pytest.mark.parametrize(("gap", "met"), [(0, True), (1, True), (2, False)])
def test_k_of_the_last_n(gap, met):
    pairs = chain([0, 0.9, *[0] * gap, 0.9, 0])
    found = events_of(pairs, hits=2, of_last=3)
    assert bool(found) is met
    if met:
        assert found[0].due.secondary_date == day(12 * (3 + gap))
        assert len(found[0].hits) == 2


def test_hits_after_the_alert_belong_to_the_event():
    (event,) = events_of(chain([0.9, 0.8, 0.95, 0.2, 0.7]), hits=2)
    assert len(event.evidence) == 2
    assert len(event.hits) == 4
    assert days([event]) == [(0, 60)]


@pytest.mark.parametrize(("quiet_days", "number"), [(24, 2), (36, 1)])
def test_an_event_is_over_after_the_quiet_period(quiet_days, number):
    """Three quiet pairs of 12 days lie between the hits."""
    found = events_of(chain([0.9, 0, 0, 0, 0.9]), quiet_days=quiet_days)
    assert len(found) == number


def test_hits_of_an_event_that_is_over_are_no_evidence_for_the_next():
    pairs = chain([0.9, 0.9, 0, 0, 0.9, 0])
    assert len(events_of(pairs, hits=2, of_last=4, quiet_days=12)) == 1
    pairs = chain([0.9, 0.9, 0, 0, 0.9, 0.9])
    assert days(events_of(pairs, hits=2, of_last=4, quiet_days=12)) == [(0, 24), (48, 72)]


def test_hits_years_apart_are_no_persistence():
    """As in an archive of which only some pairs have been scanned yet."""
    pairs = table((0, 12, 0.9), (900, 912, 0.9))
    assert events_of(pairs, hits=2, of_last=3) == []
    assert len(events_of(pairs, hits=2, of_last=3, quiet_days=888)) == 1


def test_a_pair_in_several_files_is_one_pair():
    """Neighbouring frames and other forms of a product show the same two acquisitions."""
    twice = table((0, 12, 0.9), (0, 12, 0.8), (12, 24, 0.0))
    assert events_of(twice, hits=2, of_last=3) == []
    (event,) = events_of(twice)
    assert [pair.score for pair in event.hits] == [0.9]


def test_a_hazy_acquisition_is_no_persistence_where_pairs_must_be_independent():
    """All pairs with day 24 are hits; among a deformation from day 24 to 36 there are two without a common day."""
    haze = table((0, 24, 0.9), (12, 24, 0.9), (24, 36, 0.9), (24, 48, 0.9), (36, 48, 0.1))
    assert events_of(haze, hits=2, of_last=4)
    assert events_of(haze, hits=2, of_last=4, independent=True) == []
    step = table((12, 24, 0.1), (24, 36, 0.9), (12, 36, 0.9), (24, 48, 0.9), (12, 48, 0.9), (36, 48, 0.1))
    (event,) = events_of(step, hits=2, of_last=4, independent=True)
    dates = [{pair.reference_date, pair.secondary_date} for pair in event.evidence]
    assert any(not one & other for one in dates for other in dates)


def test_score_area_and_flag():
    pairs = table((0, 12, 0.6, 1), (100, 112, 0.9, 1), (200, 212, 0.9, 30), (300, 312, 0.4, 50))
    assert days(events_of(pairs, quiet_days=0)) == [(0, 12), (100, 112), (200, 212)]  # those the run flagged
    assert days(events_of(pairs, quiet_days=0, min_score=0.4))[-1] == (300, 312)
    assert days(events_of(pairs, quiet_days=0, min_score=0.9)) == [(100, 112), (200, 212)]
    assert days(events_of(pairs, quiet_days=0, min_area_km2=20)) == [(200, 212)]


def test_unknown_scores_and_areas():
    """A pair that moves elsewhere counts among the last n; an unknown area is not what a rule asks for."""
    pairs = chain([0.9, np.nan, np.nan, 0.9])
    assert events_of(pairs, hits=2, of_last=3) == []
    assert len(events_of(pairs, hits=2, of_last=4)) == 1
    pairs = table((0, 12, 0.9, np.nan))
    assert len(events_of(pairs)) == 1
    assert events_of(pairs, min_area_km2=0.1) == []


def test_since_leaves_out_what_ended_before():
    pairs = table((0, 12, 0.9), (200, 212, 0.9))
    assert days(events_of(pairs, since=day(13))) == [(200, 212)]
    assert len(events_of(pairs, since=day(12))) == 2


def test_sites_and_kinds():
    pairs = pd.concat([table((0, 12, 0.9)), table((0, 12, 0.9), site=MINE)])
    assert {event.site for event in events_of(pairs)} == {ETNA, MINE}
    assert {event.site for event in events_of(pairs, kinds="mine")} == {MINE}
    assert {event.site for event in events_of(pairs, sites="et*")} == {ETNA}
    assert events_of(pairs, sites="Vesuvius") == []
    # Two sites never help each other to persistence.
    assert events_of(pairs, hits=2, of_last=3) == []


@pytest.mark.parametrize("pattern", ["Pozo Ñandú", "pozo nandu", "*nand?", "POZO*"])
def test_patterns_take_no_notice_of_case_and_accents(pattern):
    assert matching_sites([ETNA, MINE], [pattern]) == [MINE]


def test_sites_are_found_by_number_and_misspelt_ones_suggested():
    assert matching_sites([ETNA, MINE], ["211060", "etna"]) == [ETNA]
    assert suggest_sites([ETNA, MINE], "Edna") == "did you mean 'Etna'?"
    assert "finds parts of names" in suggest_sites([ETNA, MINE], "zzz")


def test_a_name_is_matched_as_it_is_before_patterns_are_tried():
    names = ["Pit [1]", "Pit 1", "Pit?", "Pits", "*"]
    pits = [Site(10 + i, name, f"A{i}", "mine") for i, name in enumerate(names)]
    for site in pits[:4]:
        assert matching_sites(pits, [site.name]) == matching_sites(pits, [site.number]) == [site]
    assert matching_sites(pits, ["pit [*"]) == pits[:1]
    assert matching_sites(pits, ["pit?*"]) == pits[:4]
    assert matching_sites(pits, ["*"]) == pits


def test_pairs_named_newer_date_first_give_the_same_events():
    forwards = [(0, 12, 0.9), (12, 24, 0.9), (24, 36, 0.1), (90, 102, 0.9)]
    backwards = [(last, first, score) for first, last, score in forwards]
    rule = {"hits": 1, "quiet_days": 30}
    found = events_of(table(*backwards), **rule)
    assert days(found) == days(events_of(table(*forwards), **rule)) == [(0, 24), (90, 102)]
    assert found[0].newest == day(102)
    assert found[0].due.reference_date == day(12)  # shown as the file names it
    assert alert_content(found[0], Rule(name="r"))["text"].startswith("Etna: 2 pairs from 2020-01-01 to 2020-01-25")
    # The same two acquisitions in either order are one pair.
    assert events_of(table((0, 12, 0.9), (12, 0, 0.9)), hits=2, of_last=3) == []


def test_no_pairs_no_events():
    assert events_of(table()) == []


def test_a_later_pair_that_reaches_far_back_joins_its_event_only():
    """The second event is told apart from the first although one of its hits began before the first."""
    pairs = table((0, 12, 0.9), (300, 312, 0.9), (6, 324, 0.9))
    first, second = events_of(pairs, quiet_days=30)
    assert days([first, second]) == [(0, 12), (300, 324)]
    assert not second.touches(first.start, first.end, 30)


def random_site(rng):
    starts = np.sort(rng.choice(400, 60, replace=False))
    pairs = [(int(a), int(a + rng.integers(6, 60)), float(rng.random() ** 3)) for a in starts]
    return table(*pairs)


@pytest.mark.parametrize("seed", range(8))
def test_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    pairs = random_site(rng)
    rule = {"hits": 2, "of_last": 4, "quiet_days": 20, "min_score": 0.4, "independent": bool(seed % 2)}
    expected = events_of(pairs, **rule)
    assert events_of(pairs.sample(frac=1, random_state=seed), **rule) == expected
    assert len(expected) >= 1


@pytest.mark.parametrize("seed", range(8))
def test_events_agree_with_the_definition(seed):
    """The plain definition, read pair by pair: the first evidence, and that hits near an event's end belong to it."""
    rng = np.random.default_rng(seed + 100)
    pairs = random_site(rng)
    found = events_of(pairs, hits=2, of_last=3, quiet_days=15, min_score=0.5)
    ordered = pairs.sort_values(["secondary_date", "reference_date"]).reset_index()
    hits = (ordered["score"] >= 0.5).to_numpy()
    first = next(i for i in range(len(hits)) if hits[i] and hits[max(0, i - 2) : i + 1].sum() >= 2)
    assert found[0].due.name == ordered["name"][first]
    for one, other in itertools.pairwise(found):
        assert (other.start - one.end).days > 15
    used = [pair.name for event in found for pair in event.hits]
    assert len(used) == len(set(used))
    for event in found:
        ends = [pair.secondary_date for pair in event.evidence]
        for pair in event.later:
            assert (pair.reference_date - max(ends)).days <= 15
            ends.append(pair.secondary_date)


def test_what_an_alert_says():
    rule = Rule(name="unrest", hits=2, quiet_days=30)
    pairs = pd.concat([chain([0.7, 0.95]), chain([0] * 10, start=24)])
    (event,) = find_events(rule, [ETNA], pairs)
    content = alert_content(event, rule)
    assert content["text"] == (
        "Etna: 2 pairs from 2020-01-01 to 2020-01-25 show deformation, best score 0.950, up to 10.0 km² (rule 'unrest')"
        "; the site's newest pair ends 120 days later"
    )
    assert content["key"] == alert_key(event)
    assert [pair["name"] for pair in content["pairs"]] == ["Etna_0_12", "Etna_12_24"]
    assert (content["score"], content["start"], content["newest"]) == (0.95, "2020-01-01", "2020-05-24")


def test_the_key_follows_rule_site_and_due_pair():
    def key(rule="r", pairs=None, site=ETNA):
        pairs = chain([0.9, 0.9]) if pairs is None else pairs
        (event,) = find_events(Rule(name=rule), [site], pairs)
        return alert_key(event)

    assert key() == key(pairs=chain([0.9, 0.9, 0.9]))  # what came later does not change it
    assert len({key(), key("other"), key(pairs=chain([0.9], start=1)), key(site=ETNA._replace(number="1"))}) == 4


def test_many_pairs_are_cut_short():
    rule = Rule(name="r")
    (event,) = find_events(rule, [ETNA], chain(np.linspace(0.6, 0.9, 50)))
    content = alert_content(event, rule)
    assert content["hits"] == 50
    assert len(content["pairs"]) == 20
    assert min(pair["score"] for pair in content["pairs"]) > 0.75
