"""Where paths lead that go through links."""

from __future__ import annotations

import os

import pytest

from fringewatch import files
from fringewatch.files import LinkResolver


def test_links_are_resolved_as_the_system_does(tmp_path, monkeypatch):
    (tmp_path / "frames" / "one").mkdir(parents=True)
    (tmp_path / "frames" / "one" / "a.tif").touch()
    (tmp_path / "frames" / "two").symlink_to("one")
    (tmp_path / "archive").symlink_to(tmp_path / "frames")
    (tmp_path / "frames" / "one" / "b.tif").symlink_to("../two/a.tif")
    (tmp_path / "frames" / "one" / "lost.tif").symlink_to("nowhere.tif")
    monkeypatch.chdir(tmp_path / "archive")
    resolve = LinkResolver()
    names = ["a.tif", "b.tif", "lost.tif", "missing.tif", ".", "..", "../one/a.tif", ""]
    places = [
        *(str(tmp_path / place) for place in ("frames/one", "frames/two", "archive/two")),
        "one",
        "./two",
        "two/.",
    ]
    for path in [f"{place}/{name}" for place in places for name in names] + ["", "/", "two", "a.tif", "//tmp"]:
        # Once looked up, once remembered.
        assert [resolve(path), resolve(path)] == [os.path.realpath(path)] * 2


@pytest.mark.parametrize("most", [1, 3])
def test_what_is_remembered_of_links_is_limited(tmp_path, monkeypatch, most):
    monkeypatch.setattr(files, "_MOST_FOLDERS", most)
    resolve = LinkResolver()
    for index in range(10):
        path = str(tmp_path / f"frame{index}" / "pair" / "a.tif")
        assert resolve(path) == os.path.realpath(path)
        assert len(resolve._folders) <= most
