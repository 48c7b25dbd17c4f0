"""The journal survives what a full disk and a power cut leave of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fringewatch.detect.journal import JOURNAL_NAME, Journal, file_state
from fringewatch.errors import OutputError
from fringewatch.report import SceneRow


def row(name):
    return SceneRow(file=f"{name}.tif", name=name, status="ok")


def test_a_line_cut_short_does_not_swallow_the_next(tmp_path):
    journal = Journal(tmp_path)
    journal.add(row("a"), "state", "settings", place="/data/a.tif")
    path = tmp_path / JOURNAL_NAME
    path.write_text(path.read_text() + '{"state": "to', encoding="utf-8")
    Journal(tmp_path).add(row("b"), "state", "settings", place="/data/b.tif")
    assert list(Journal(tmp_path).entries) == ["a", "b"]


def test_a_disk_that_is_full_for_a_moment(tmp_path, monkeypatch):
    """The scene whose line did not fit is not known; the next one is."""
    journal = Journal(tmp_path)
    journal.add(row("a"), "state", "settings", place="/data/a.tif")
    original = Path.open

    class Full:
        def __init__(self, handle):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.handle.close()

        def write(self, text):
            self.handle.write(text[:20])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, *arguments, **settings: Full(original(self, *arguments, **settings)))
        with pytest.raises(OutputError, match=r"jsonl: cannot be written \(No space left on device\); free some space"):
            journal.add(row("b"), "state", "settings", place="/data/b.tif")
    journal.add(row("c"), "state", "settings", place="/data/c.tif")
    assert list(journal.entries) == ["a", "c"]
    assert list(Journal(tmp_path).entries) == ["a", "c"]


def test_the_state_of_a_scene_is_that_of_all_its_files(tmp_path):
    phase, coherence = tmp_path / "phase.tif", tmp_path / "coherence.tif"
    phase.write_bytes(b"1")
    alone = file_state(str(phase))
    gone = file_state(str(phase), [str(coherence)])
    coherence.write_bytes(b"1")
    there = file_state(str(phase), [str(coherence)])
    coherence.write_bytes(b"12")
    changed = file_state(str(phase), [str(coherence)])
    assert len({alone, gone, there, changed}) == 4
    assert file_state("https://example.org/phase.tif") == "https://example.org/phase.tif"


def test_interferograms_of_one_file_have_states_of_their_own_that_change_with_the_file(tmp_path):
    stack = tmp_path / "stack.h5"
    stack.write_bytes(b"1")
    first, second = (file_state(str(stack), member=member) for member in ("20180601_20180613", "20180613_20180625"))
    assert first != second
    stack.write_bytes(b"22")
    assert file_state(str(stack), member="20180601_20180613") != first
