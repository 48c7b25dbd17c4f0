"""Progress: a bar on a terminal, silence elsewhere, and whole lines in both."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fringewatch import progress

LONG = "failed: /archive/" + "a" * 200 + "/scene [1/2].tif: is damaged"


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(progress, "_console", lambda: console)
    return screen


def test_silence_without_a_terminal(capsys):
    with progress.track("scanning", total=3, text="0 flagged") as advance:
        advance(1, text="1 flagged")
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_the_text_behind_the_bar(terminal):
    with progress.track("scanning", total=30, done=10, text="0 flagged") as advance:
        advance(5, text="[2] flagged")
        advance(15)
    shown = terminal.getvalue()
    assert "10/30 0 flagged" in shown
    assert "30/30 [2] flagged" in shown


def test_no_text_is_no_column(terminal):
    with progress.track("simulating", total=4) as advance:
        advance(4)
    assert "4/4 0:00:00" in terminal.getvalue()
    assert "None" not in terminal.getvalue()


def test_long_lines_stay_whole(capsys):
    progress.say(LONG)
    assert capsys.readouterr().err == LONG + "\n"


def test_long_lines_stay_whole_above_a_bar(terminal):
    with progress.track("scanning", total=3, text="0 flagged"):
        progress.say(LONG)
    assert LONG + "\n" in terminal.getvalue()
