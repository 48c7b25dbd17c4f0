"""What goes wrong in an evening with an archive: nothing is lost, nothing is there twice, the end is told rightly."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fringewatch.catalog import Catalog
from fringewatch.detect import DetectConfig, archive, crew, run
from fringewatch.detect.settings import FAILURES_NAME
from fringewatch.detect.worker import SceneWorker, load_detector
from fringewatch.errors import CatalogError, ConfigError


@pytest.fixture
def in_threads(monkeypatch):
    """Do the work of archives in threads of this process, where processes are not what is tested."""

    def threads(config, folder, keep):
        detector = load_detector(config, threads=1)
        return crew.thread_crew(SceneWorker(config, folder, detector, keep=keep, catalogued=True), 2)

    monkeypatch.setattr(archive, "local_crew", threads)


@pytest.fixture
def config(tiny_bundle_folder, tmp_path):
    """Settings of a run over tmp_path/data into tmp_path/c.gpkg."""
    return DetectConfig(
        inputs=(str(tmp_path / "data"),),
        model=str(tiny_bundle_folder),
        out=tmp_path / "results",
        catalog=str(tmp_path / "c.gpkg"),
        workers=2,
    )


@pytest.fixture
def write_archive(write_scene):
    """Write small scenes, all different; every eighth is larger and deforms."""

    def write(number):
        return [
            write_scene(f"s{index:03}.tif", shape=(48, 56) if index % 8 else (110, 160), seed=index)
            for index in range(number)
        ]

    return write


def command(config):
    """Return the command line of a run."""
    # Where the tests themselves run in the background, Ctrl-C is ignored, which processes hand down.
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = "import sys; from fringewatch.cli import main; sys.exit(main(sys.argv[1:]))"
    program = [sys.executable, "-c", f"{heard}; {start}"]
    flags = ["--model", config.model, "--out", str(config.out), "--catalog", config.catalog, "--workers", "2"]
    return [*program, "detect", *config.inputs, *flags]


def entries(config):
    """Return names and states of the scenes of the catalogue as it is, twice where they are there twice."""
    with contextlib.closing(sqlite3.connect(config.catalog)) as connection:
        return connection.execute("SELECT name, status, run_id FROM scenes ORDER BY name").fetchall()


def check(config, number, *, failed=(), quiet=()):
    """Check that every scene is there once, with its result, and its detections once."""
    found = entries(config)
    names = [f"s{index:03}" for index in range(number)]
    assert [name for name, _, _ in found] == names
    assert {name for name, status, _ in found if status == "failed"} == set(failed)
    with contextlib.closing(sqlite3.connect(config.catalog)) as connection:
        found = connection.execute("SELECT scene FROM detections ORDER BY scene").fetchall()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [name for (name,) in found] == [name for name in names[::8] if name not in {*failed, *quiet}]


def wait_until(condition, *, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def known(config):
    """Return how many scenes the catalogue has while it is written."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(config.catalog)) as connection:
        return connection.execute("SELECT count(*) FROM scenes").fetchone()[0]
    return 0


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs_python_worker(pid):
    with contextlib.suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes through /proc")


@needs_proc
@pytest.mark.slow
def test_kill_9_of_the_main_process(config, write_archive, in_threads):
    """Its workers go with it, and the next run goes on where it was."""
    # So many that a fast machine, which enters its results once a second, is not done before the kill.
    number = 1000
    write_archive(number)
    process = subprocess.Popen(command(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: known(config) > 30)
    workers = [pid for pid in children(process.pid) if runs_python_worker(pid)]
    assert len(workers) == 2
    process.kill()
    process.wait()
    wait_until(lambda: not any(runs_python_worker(pid) for pid in workers))
    before = known(config)
    assert 30 < before < number, "it was killed in the middle"
    result = run(config)
    assert (result.kept, result.totals.scanned, result.exit_code) == (before, number - before, 0)
    check(config, number)
    with Catalog.open(config.catalog, writable=False) as catalog:
        assert list(catalog.runs["status"]) == ["killed", "done"]


@needs_proc
@pytest.mark.slow
def test_kill_9_of_workers(config, write_archive):
    number = 1000
    write_archive(number)
    with subprocess.Popen(command(config), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for already in (20, 300):
            wait_until(lambda already=already: known(config) > already)
            os.kill(next(pid for pid in children(process.pid) if runs_python_worker(pid)), signal.SIGKILL)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith(f"{number:,} of {number:,} scanned, ")
    assert err == ""
    check(config, number)


@needs_proc
@pytest.mark.slow
def test_ctrl_c_while_processes_work(config, write_archive, in_threads):
    """As a terminal sends it: to all processes."""
    # So many that a fast machine is not done before the signal comes.
    number = 1000
    write_archive(number)
    with subprocess.Popen(
        command(config), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        wait_until(lambda: known(config) > 20)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert "stopped early: the same command goes on from here" in out
    assert err == ""
    assert run(config).totals.scanned == number - int(out.split(" of ")[0])
    check(config, number)


def test_one_file_in_fifty_cannot_be_read(config, write_archive, in_threads):
    number = 100
    paths = write_archive(number)
    whole = paths[20].read_bytes()
    paths[20].write_bytes(whole[: len(whole) // 2])
    paths[70].write_bytes(b"")
    result = run(config)
    assert (result.exit_code, result.totals.scanned, result.totals.failed) == (3, 98, 2)
    check(config, number, failed=["s020", "s070"])
    assert len((config.out / FAILURES_NAME).read_text().splitlines()) == 3
    # The rest of the half-written one arrives.
    paths[20].write_bytes(whole)
    result = run(config)
    assert (result.exit_code, result.kept, result.totals.scanned, result.totals.failed) == (3, 98, 1, 1)
    check(config, number, failed=["s070"])
    assert "1 failed" in result.describe()


LIMITED = """
import resource, sys
from fringewatch import cli
from fringewatch.detect import archive, crew
from fringewatch.detect.worker import SceneWorker, load_detector

def threads(config, folder, keep):
    detector = load_detector(config, threads=1)
    return crew.thread_crew(SceneWorker(config, folder, detector, keep=keep, catalogued=True), 2)

archive.local_crew = threads
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(cli.main(sys.argv[2:]))
"""


def test_a_disk_that_is_full(config, write_archive, in_threads):
    """Files of this process may grow to so many bytes; the catalogue with its volcanoes alone needs half of that."""
    pytest.importorskip("resource", reason="limits of a process are a thing of POSIX")
    # Several seconds of entries, many times what is left of the disk.
    number = 400
    write_archive(number)
    with Catalog.open(config.catalog):
        pass
    limit = Path(config.catalog).stat().st_size + 20_000
    arguments = command(config)[3:]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"fringewatch: {config.catalog}: ")
    assert "Traceback" not in done.stderr
    before = len(entries(config))
    assert before < number
    result = run(config)
    assert (result.exit_code, result.kept, result.totals.scanned) == (0, before, number - before)
    check(config, number)


def test_clocks_that_jump(config, write_archive, in_threads, monkeypatch):
    """Files from the future and from 1970, and a clock that runs backwards: what has not changed is not done again."""
    paths = write_archive(12)
    for index, path in enumerate(paths):
        os.utime(path, (index * 4e8, index * 4e8))
    real = time.time()
    ticks = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real - 1e6 * next(ticks))
    assert run(config).totals.scanned == 12
    assert run(config).kept == 12
    # Older than it was, and yet another file.
    paths[3].write_bytes(paths[4].read_bytes())
    os.utime(paths[3], (0, 0))
    result = run(config)
    assert (result.kept, result.totals.scanned) == (11, 1)
    check(config, 12)


def test_files_that_are_there_twice(config, write_archive, in_threads, tmp_path):
    paths = write_archive(6)
    data = tmp_path / "data"
    (data / "again").symlink_to(data)
    (data / "link.tif").symlink_to(paths[0])
    (data / "copy").mkdir()
    (data / "copy" / "other_name.tif").write_bytes(paths[1].read_bytes())
    result = run(config.model_copy(update={"inputs": (*config.inputs, *config.inputs, str(paths[2]))}))
    assert (result.exit_code, result.totals.scanned) == (0, 7)
    with Catalog.open(config.catalog, writable=False) as catalog:
        assert len(catalog.query(duplicates=True)) == 7
        # The copy is a file of its own, and no second interferogram.
        assert len(catalog.query()) == 6
    assert run(config).kept == 7


def test_a_file_that_changes_between_runs(config, write_archive, write_scene, in_threads):
    write_archive(9)
    run(config)
    check(config, 9)
    write_scene("s008.tif", shape=(48, 56), seed=99)
    result = run(config)
    assert (result.kept, result.totals.scanned) == (8, 1)
    check(config, 9, quiet=["s008"])


def test_two_runs_at_once_on_one_catalogue(config, write_archive, in_threads):
    number = 60
    write_archive(number)
    results = []
    runs = [
        threading.Thread(
            target=lambda out=out: results.append(run(config.model_copy(update={"out": config.out.with_name(out)})))
        )
        for out in ("one", "two")
    ]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert [result.exit_code for result in results] == [0, 0]
    assert all(result.kept + result.totals.scanned == number for result in results)
    check(config, number)
    assert run(config).kept == number


def test_a_catalogue_that_stops_taking_scenes_ends_the_run_and_loses_none(
    config, write_archive, in_threads, monkeypatch
):
    number = 30
    write_archive(number)
    original = Catalog.add
    batches = []

    def refuse(self, run_id, scenes, detections=None):
        batches.append(len(scenes))
        if len(batches) == 4:
            message = f"{config.catalog}: cannot be written"
            raise CatalogError(message)
        original(self, run_id, scenes, detections)

    monkeypatch.setattr(Catalog, "add", refuse)
    # Each task is a batch of its own, however fast they come.
    monkeypatch.setattr(archive, "_ENTER_SECONDS", 0)
    with pytest.raises(CatalogError, match="cannot be written"):
        run(config)
    monkeypatch.undo()
    before = len(entries(config))
    assert before == sum(batches[:3])
    assert before < number


def test_files_of_scenes_are_one_catalogue_s(config, write_archive, in_threads, tmp_path):
    write_archive(2)
    kept = config.model_copy(update={"keep": "maps"})
    run(kept)
    other = str(tmp_path / "other.gpkg")
    with pytest.raises(ConfigError, match=r"holds maps of scenes that the catalogue .*c\.gpkg knows"):
        run(kept.model_copy(update={"catalog": other}))
    with pytest.raises(ConfigError, match=r"choose another --out, or go on with --catalog .*c\.gpkg"):
        run(config.model_copy(update={"catalog": None, "keep": None}))
    assert not (tmp_path / "other.gpkg").exists()
    # Under another name of the same file, or where the catalogue has moved, it is one.
    (tmp_path / "link").symlink_to(tmp_path)
    assert run(kept.model_copy(update={"catalog": str(tmp_path / "link" / "c.gpkg")})).kept == 2
    (tmp_path / "c.gpkg").rename(other)
    assert run(kept.model_copy(update={"catalog": other})).kept == 2


def test_kept_files_are_of_the_last_settings_in_whatever_folder(config, write_archive, in_threads, tmp_path):
    write_archive(1)
    kept = config.model_copy(update={"keep": "outlines"})
    strict = kept.model_copy(update={"threshold": 1.0})

    def outlines():
        return (tmp_path / "results" / "s000.detections.geojson").read_bytes()

    run(kept)
    before = outlines()
    # The catalogue now knows the scene by the other settings, from another folder.
    run(strict.model_copy(update={"out": tmp_path / "elsewhere"}))
    assert run(strict).kept == 0
    assert outlines() != before
    assert run(strict).kept == 1
    # What lies beside its catalogue may move with it.
    beside = kept.model_copy(update={"out": tmp_path / "a", "catalog": str(tmp_path / "a" / "c.gpkg")})
    run(beside)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = beside.model_copy(update={"out": tmp_path / "b", "catalog": str(tmp_path / "b" / "c.gpkg")})
    assert run(moved).kept == 1
