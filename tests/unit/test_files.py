"""Where paths lead that go through links, and folders that one run has for itself."""

from __future__ import annotations

import os
import types

import pytest

from fringewatch import files
from fringewatch.errors import OutputError
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


def test_a_folder_is_for_one_run_at_a_time(tmp_path):
    with (
        files.sole_use(tmp_path) as folder,
        pytest.raises(OutputError, match="another run is writing its results there; choose another --out"),
        files.sole_use(folder),
    ):
        pass
    with files.sole_use(tmp_path):
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(95, "not supported"), None])
def test_where_folders_cannot_be_locked_nothing_is_checked(tmp_path, monkeypatch, error):
    def flock(*_):
        raise error

    locks = types.SimpleNamespace(LOCK_EX=2, LOCK_NB=4, flock=flock)
    monkeypatch.setattr(files, "fcntl", locks if error else None)
    with files.sole_use(tmp_path), files.sole_use(tmp_path) as folder:
        assert folder == tmp_path
