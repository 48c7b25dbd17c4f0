"""Flags of the command line: what their help and their errors say."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Literal

import pytest
import tyro
from pydantic import Field

from fringewatch.config import Config
from fringewatch.flags import flags_of


class Settings(Config):
    """One field of each kind."""

    files: tuple[str, ...] = Field((), description="Files.", json_schema_extra={"positional": True})
    count: int = Field(3, description="How many.")
    share: float | None = Field(None, description="How much of it; all if not given.")
    first: dt.date | None = Field(None, description="From this day on.", json_schema_extra={"flag": "--from"})
    sides: tuple[int, int] | None = Field(None, description="Shortest and longest.")
    kind: Literal["wrapped", "unwrapped"] | None = Field(None, description="What it is.")
    freeze: int | str | None = Field(None, description="A number or a name.")
    out: Path = Field(Path("results"), description="Where to.")
    names: list[str] | None = Field(None, description="Any number of them.")
    aloud: bool = Field(False, description="Say it.")


def parse(*given: str, **defaults: Any) -> Settings:
    return Settings.build(vars(tyro.cli(flags_of(Settings, defaults), args=list(given))))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        (["a.tif", "b.tif"], {"files": ("a.tif", "b.tif")}),
        (["--count", "-2"], {"count": -2}),
        (["--share", "1e-3"], {"share": 1e-3}),
        (["--from", "2020-02-29"], {"first": dt.date(2020, 2, 29)}),
        (["--sides", "48", "400"], {"sides": (48, 400)}),
        (["--kind", "wrapped"], {"kind": "wrapped"}),
        (["--freeze", "17"], {"freeze": 17}),
        (["--freeze", "conv5"], {"freeze": "conv5"}),
        (["--out", "elsewhere"], {"out": Path("elsewhere")}),
        (["--names", "a", "b"], {"names": ["a", "b"]}),
        (["--aloud"], {"aloud": True}),
    ],
)
def test_values(given, expected):
    assert parse(*given) == Settings(**expected)


@pytest.mark.parametrize("flag", ["share", "from", "sides", "kind", "freeze"])
def test_none_takes_back_what_a_file_says(flag):
    known = {"share": 0.5, "first": dt.date(2020, 1, 1), "sides": (1, 2), "kind": "wrapped", "freeze": 3}
    name = "first" if flag == "from" else flag
    assert parse(**known) == Settings(**known)
    assert parse(f"--{flag}", "None", **known) == Settings(**(known | {name: None}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--count", "many"], "got 'many', expected a whole number"),
        (["--share", "half"], "got 'half', expected a number"),
        (["--from", "2020-13-01"], "got '2020-13-01', expected a day as YYYY-MM-DD (month must be in 1..12)"),
        (["--sides", "48"], "got '48', expected INT INT"),
        (["--sides", "48", "wide"], "got '48 wide', expected INT INT"),
    ],
)
def test_wrong_values_are_told_once_and_in_words(given, told, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        parse(*given)
    text = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert stop.value.code == 2
    assert told in text
    assert "NoneType" not in text
    assert "base 10" not in text


def test_help_speaks_of_what_users_give(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("--share FLOAT", "--from YYYY-MM-DD", "--sides INT INT", "--kind {wrapped,unwrapped}", "--out PATH"):
        assert part in text
    assert "(default: 3)" in text
    assert "(default: results)" in text
    assert "None" not in text
    assert "(default: )" not in text
