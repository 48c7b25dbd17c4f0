"""The rules file: what it may say, and what is said of its mistakes."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from fringewatch.alerts import Rules
from fringewatch.alerts.deliver import check_channels
from fringewatch.alerts.rules import EmailChannel, FileChannel, WebhookChannel, read_secret
from fringewatch.errors import ConfigError

CHANNELS = "channels: {log: {type: file, path: alerts.jsonl}}\n"
MAIL = "type: email, host: mail.example.org, sender: a@example.org, recipients: b@example.org"


def read(tmp_path, text):
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    return Rules.from_yaml(path)


def test_defaults(tmp_path):
    rules = read(tmp_path, "rules: [{name: any}]\n" + CHANNELS)
    (rule,) = rules.rules
    assert (rule.sites, rule.hits, rule.window, rule.min_score, rule.quiet_days) == (("*",), 1, 1, None, 90)
    assert rules.channels_of(rule) == ("log",)
    assert rules.channels["log"] == FileChannel(path=Path("alerts.jsonl"))


def test_a_full_rule(tmp_path):
    text = "rules: [{name: a, sites: Etna, kinds: [volcano], hits: 2, of_last: 4, since: 2024-01-31, channels: log}]\n"
    (rule,) = read(tmp_path, text + CHANNELS).rules
    assert (rule.sites, rule.kinds, rule.window, rule.channels) == (("Etna",), ("volcano",), 4, ("log",))
    assert rule.since == dt.date(2024, 1, 31)


@pytest.mark.parametrize(
    ("given", "meant"), [("211060", ("211060",)), ("[211060, Etna]", ("211060", "Etna")), ("Etna", ("Etna",))]
)
def test_sites_may_be_numbers(tmp_path, given, meant):
    (rule,) = read(tmp_path, f"rules: [{{name: a, sites: {given}}}]\n{CHANNELS}").rules
    assert rule.sites == meant


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("[{name: unrest, min_score: 2}]", "rule 'unrest': min_score = 2: Input should be less than or equal to 1"),
        ("[{name: unrest, min_scor: 0.5}]", "rule 'unrest': unknown key 'min_scor'; did you mean 'min_score'?"),
        ("[{name: a, hits: 3, of_last: 2}]", "rule 'a': .*of_last = 2: 3 hits cannot be among 2 pairs; raise of_last"),
        ("[{name: a, height_trend: remove}]", "rule 'a': .*height_trend = 'remove': .*; give min_score"),
        ("[{hits: 3}]", "rule 1: name: is missing; give it a value"),
        ("[{name: a, since: yesterday}]", "rule 'a': since = 'yesterday'"),
        ("[{name: a}, {name: a}]", "two rules are named 'a'; expected each name once"),
        ("[{name: a, channels: duty}]", "rule 'a': channels names 'duty'; expected one of: log"),
        ("[{name: a, sites: []}]", "rule 'a': sites = "),
        ("[{name: a, sites: no}]", "rule 'a': sites.0 = False: Input should be a valid string"),
        ("[unrest]", "rule 1: holds a str; expected keys and values"),
        ("[]", "rules = .*at least 1"),
        ("{name: a}", "rules: expected a list"),
    ],
)
def test_mistakes_in_rules_name_file_rule_and_field(tmp_path, rules, message):
    with pytest.raises(ConfigError, match=rf"rules\.yaml: .*{message}"):
        read(tmp_path, f"rules: {rules}\n{CHANNELS}")


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("type: mail", "channel 'c': type = 'mail'; expected one of: file, email, webhook"),
        ("path: a.jsonl", "channel 'c': type = None; expected one of"),
        ("type: file", "channel 'c': path: is missing; give it a value"),
        ("type: webhook", "channel 'c': .*url and url_env: expected one of them"),
        ("type: webhook, url: ftp://x", "channel 'c': url = 'ftp://x'"),
        (f"{MAIL}, user_env: U", "channel 'c': .*user_env and password_env: expected both or none"),
        (
            f"{MAIL}, security: none, user_env: U, password_env: P",
            "channel 'c': .*a password would travel in the clear",
        ),
        (f"{MAIL}, password: secret", "channel 'c': unknown key 'password'; did you mean 'password_env'?"),
        (MAIL.replace("b@example.org", "nobody"), "channel 'c': recipients.0 = 'nobody'"),
    ],
)
def test_mistakes_in_channels_name_the_channel(tmp_path, channel, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, f"rules: [{{name: a}}]\nchannels: {{c: {{{channel}}}}}\n")


def test_a_channel_that_is_named_twice_counts_once(tmp_path):
    channels = "channels: {b: {type: file, path: b.jsonl}, a: {type: file, path: a.jsonl}}\n"
    rules = read(tmp_path, "rules: [{name: any, channels: [b, a, b]}]\n" + channels)
    assert rules.channels_of(rules.rules[0]) == ("b", "a")


def test_secrets_lose_the_blanks_around_them(monkeypatch):
    monkeypatch.setenv("A_SECRET", " s3cret\r\n")
    assert read_secret("A_SECRET", "x") == "s3cret"
    monkeypatch.setenv("A_SECRET", "\n")
    with pytest.raises(ConfigError, match="A_SECRET is not set"):
        read_secret("A_SECRET", "x")


def test_an_unknown_part_of_the_file(tmp_path):
    with pytest.raises(ConfigError, match="unknown key 'chanels'; did you mean 'channels'"):
        read(tmp_path, "rules: [{name: a}]\nchanels: {}\n" + CHANNELS)


def test_environment_variables_are_asked_for_at_the_start(tmp_path, monkeypatch):
    text = (
        f"rules: [{{name: a}}]\nchannels:\n  post: {{{MAIL}, user_env: A_USER, password_env: A_PASSWORD}}\n"
        "  hook: {type: webhook, url_env: A_URL}\n"
    )
    rules = read(tmp_path, text)
    assert isinstance(rules.channels["post"], EmailChannel)
    assert isinstance(rules.channels["hook"], WebhookChannel)
    for variable, field in (("A_USER", "user_env"), ("A_PASSWORD", "password_env"), ("A_URL", "url_env")):
        channel = "hook" if field == "url_env" else "post"
        expected = f"channel '{channel}': {field}: the environment variable {variable} is not set"
        with pytest.raises(ConfigError, match=re.escape(expected)):
            check_channels(rules.channels)
        monkeypatch.setenv(variable, "https://host/x")
    check_channels(rules.channels)
    monkeypatch.setenv("A_URL", "not-an-address")
    with pytest.raises(ConfigError, match="channel 'hook': A_URL holds no address"):
        check_channels(rules.channels)
