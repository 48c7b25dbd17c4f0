"""Fetching from a local server with the layouts of the archives, and with every fault that servers have."""

from __future__ import annotations

import base64
import csv
import datetime as dt
import email.utils
import hashlib
import html
import http.server
import json
import re
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

import fringewatch as fw
from fringewatch import cli
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M, wrap
from fringewatch.errors import MissingExtraError
from fringewatch.fetch import FetchLicsarConfig, fetch_licsar
from fringewatch.fetch import client as client_module
from fringewatch.fetch.client import Client, Item, Version
from fringewatch.interferogram import make_interferogram
from fringewatch.products import discover
from fringewatch.products.licsar import write_licsar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytest.importorskip("requests", reason="needs the [fetch] extra")

FRAME = "128D_09016_110500"
PAIRS = ("20180601_20180613", "20180613_20180625", "20180625_20180707")
BASE = f"/LiCSAR_products/128/{FRAME}"


class Portal(http.server.ThreadingHTTPServer):
    """Serves bytes by path, with listings, ranges and validators as Apache does; faults are used up one by one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = defaultdict(dict)
        self.faults: dict[str, list[Callable[[Handler], bool]]] = defaultdict(list)
        self.log: list[tuple[str, str, dict[str, str]]] = []
        self.ranges = True
        self.validators = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, path: str, *, method: str = "GET") -> list[dict[str, str]]:
        """Return the headers of the requests for a path."""
        return [headers for verb, asked, headers in self.log if asked == path and verb == method]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Portal

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.log.append((self.command, path, dict(self.headers)))
        faults = self.server.faults[path]
        if faults and faults.pop(0)(self):
            return
        if path in self.server.files:
            self.send_file(self.server.files[path])
        elif path.endswith("/") and (names := self.children(path)):
            rows = "".join(f'<tr><td><a href="{html.escape(name)}">{html.escape(name)}</a></td></tr>' for name in names)
            header = '<a href="?C=N;O=D">Name</a><a href="/LiCSAR_products/128/">Parent Directory</a>'
            self.reply(
                200, f"<html><body>{header}<table>{rows}</table></body></html>".encode(), {"Content-Type": "text/html"}
            )
        else:
            self.reply(404, b"<html>Not Found</html>", {"Content-Type": "text/html"})

    do_HEAD = do_GET

    def children(self, folder: str) -> list[str]:
        inside = [path.removeprefix(folder) for path in self.server.files if path.startswith(folder)]
        return sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in inside})

    def send_file(self, content: bytes, *, drop_after: int | None = None, extra: dict[str, str] | None = None) -> None:
        etag = f'"{hashlib.sha1(content).hexdigest()[:13]}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes"} if self.server.validators else {}
        headers |= self.server.headers[urlsplit(self.path).path] | (extra or {})
        if self.server.validators and self.headers.get("If-None-Match") == etag:
            self.reply(304, b"", headers)
            return
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", etag) == headers.get("ETag")
        if start and same and self.server.ranges:
            offset = int(start[1])
            if offset >= len(content):
                self.reply(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
                return
            headers["Content-Range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
            self.reply(206, content[offset:], headers, drop_after=drop_after)
        else:
            self.reply(200, content, headers, drop_after=drop_after)

    def reply(self, status: int, content: bytes, headers: dict[str, str], *, drop_after: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(content[:drop_after])
        if drop_after is not None:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


def drop(count: int) -> Callable[[Handler], bool]:
    """Break the connection after some bytes of the content."""

    def fault(handler: Handler) -> bool:
        handler.send_file(handler.server.files[urlsplit(handler.path).path], drop_after=count)
        return True

    return fault


def busy(status: int = 503, **headers: str) -> Callable[[Handler], bool]:
    def fault(handler: Handler) -> bool:
        handler.reply(status, b"busy", {name.replace("_", "-"): value for name, value in headers.items()})
        return True

    return fault


def send(content: bytes, **extra: str) -> Callable[[Handler], bool]:
    """Send something else than the file."""

    def fault(handler: Handler) -> bool:
        handler.send_file(content, extra={name.replace("_", "-"): value for name, value in extra.items()})
        return True

    return fault


def change(content: bytes) -> Callable[[Handler], bool]:
    """Replace the file on the server just before it is asked for."""

    def fault(handler: Handler) -> bool:
        handler.server.files[urlsplit(handler.path).path] = content
        return False

    return fault


@pytest.fixture
def portal() -> Iterator[Portal]:
    server = Portal()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Do not wait; keep how long it would have been."""
    waits: list[float] = []

    def pause(self: Client, wait_s: float) -> bool:
        waits.append(wait_s)
        return False

    monkeypatch.setattr(Client, "_pause", pause)
    # Whole pieces only are kept, and the files are small.
    monkeypatch.setattr(client_module, "_CHUNK", 100)
    return waits


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a frame by their path on the portal."""
    from affine import Affine

    folder = tmp_path_factory.mktemp("portal")
    rows, columns = np.mgrid[:40, :50].astype(np.float32)
    for number, pair in enumerate(PAIRS):
        phase = wrap(np.float32(0.3) * rows + np.float32(0.2 + 0.1 * number) * columns)
        scene = make_interferogram(
            phase, wavelength_m=SENTINEL1_WAVELENGTH_M,
            transform=Affine(0.001, 0, -91, 0, -0.001, -0.7), crs="EPSG:4326",
            companions={"coherence": np.full((40, 50), 0.8), "los_up": np.full((40, 50), 0.8), "height": rows,
                        "los_east": np.full((40, 50), 0.6), "los_north": np.full((40, 50), 1e-3)},
        )  # fmt: skip
        first, second = pair.split("_")
        write_licsar(folder, scene, frame=FRAME, reference_date=first, secondary_date=second)
    files = {}
    for path in folder.rglob("*.tif"):
        place = "metadata" if path.parent.name == "metadata" else f"interferograms/{path.parent.name}"
        files[f"{BASE}/{place}/{path.name}"] = path.read_bytes()
    files[f"{BASE}/metadata/metadata.txt"] = b"applied_DEM=SRTM1\n"
    files[f"{BASE}/metadata/baselines"] = b"20180601 20180613 12.0 12\n"
    return files


@pytest.fixture
def licsar(portal: Portal, archive: dict[str, bytes], tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    """Run the command; return the exit code and the frame's folder."""
    portal.files.update(archive)

    def fetch(*flags: str) -> tuple[int, Path]:
        base = f"{portal.url}/LiCSAR_products/"
        code = cli.main(["fetch", "licsar", FRAME, "--base-url", base, "--out", str(tmp_path / "data"), *flags])
        return code, tmp_path / "data" / FRAME

    return fetch


def manifest(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        return {row["file"]: row for row in csv.DictReader(stream)}


def test_a_frame_is_fetched_and_read(licsar, archive, capsys):
    code, folder = licsar()
    assert code == 0
    for path, content in archive.items():
        assert (folder / path.removeprefix(f"{BASE}/")).read_bytes() == content
    assert not list(folder.rglob("*.part*"))
    text = capsys.readouterr()
    assert f"{FRAME}: 3 of 3 pairs, 20180601 to 20180707" in text.err
    assert "12 of 12 files fetched (0.0 MB); " in text.out
    references = list(discover(folder))
    assert [reference.product for reference in references] == ["licsar"] * 3
    read = fw.open_interferogram(references[0])
    assert read.attrs["assumptions"] == []
    assert {"coherence", "height", "los_east", "los_north", "los_up"} <= set(read.data_vars)


def test_the_manifest_tells_what_came(licsar, archive, portal):
    _, folder = licsar()
    rows = manifest(folder)
    assert {f"{BASE}/{name}" for name in rows} == set(archive)
    row = rows["metadata/baselines"]
    content = archive[f"{BASE}/metadata/baselines"]
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert int(row["bytes"]) == len(content)
    assert row["url"] == f"{portal.url}{BASE}/metadata/baselines"
    assert row["etag"].startswith('"')
    assert dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(row["fetched"]) < dt.timedelta(minutes=5)


def test_nothing_is_fetched_twice(licsar, portal, capsys):
    licsar()
    before = manifest(licsar()[1])
    portal.log.clear()
    code, folder = licsar()
    assert code == 0
    # The listing, and whether the two files have grown that do so.
    asked = [path for _, path, _ in portal.log]
    assert sorted(asked) == [f"{BASE}/interferograms/", f"{BASE}/metadata/baselines", f"{BASE}/metadata/metadata.txt"]
    assert portal.asked(f"{BASE}/metadata/baselines")[0]["If-None-Match"]
    assert "0 of 12 files fetched (0.0 MB), 12 here before" in capsys.readouterr().out
    assert manifest(folder) == before


def test_files_of_another_program_are_kept_if_their_length_is_right(licsar, archive, portal, tmp_path):
    name = f"interferograms/{PAIRS[0]}/{PAIRS[0]}.geo.diff_pha.tif"
    other = f"interferograms/{PAIRS[1]}/{PAIRS[1]}.geo.diff_pha.tif"
    for path, content in ((name, archive[f"{BASE}/{name}"]), (other, b"cut short")):
        (tmp_path / "data" / FRAME / path).parent.mkdir(parents=True)
        (tmp_path / "data" / FRAME / path).write_bytes(content)
    _, folder = licsar()
    assert portal.asked(f"{BASE}/{name}", method="HEAD")
    assert not portal.asked(f"{BASE}/{name}")
    assert (folder / other).read_bytes() == archive[f"{BASE}/{other}"]


def test_a_new_pair_and_grown_metadata_come_with_the_next_run(licsar, portal, archive):
    late = f"{BASE}/interferograms/{PAIRS[2]}/"
    for path in [path for path in portal.files if path.startswith(late)]:
        del portal.files[path]
    licsar()
    portal.files.update(archive)
    portal.files[f"{BASE}/metadata/baselines"] = b"grown\n"
    portal.log.clear()
    _, folder = licsar()
    fetched = {path for verb, path, _ in portal.log if verb == "GET" and path.endswith(".tif")}
    assert fetched == {path for path in archive if path.startswith(late)}
    assert (folder / "metadata" / "baselines").read_bytes() == b"grown\n"


def test_changed_files_come_with_update(licsar, portal, archive):
    path = f"{BASE}/interferograms/{PAIRS[0]}/{PAIRS[0]}.geo.cc.tif"
    _, folder = licsar()
    portal.files[path] = archive[path.replace(".cc.", ".diff_pha.")]
    target = folder / path.removeprefix(f"{BASE}/")
    licsar()
    assert target.read_bytes() == archive[path]
    licsar("--update")
    assert target.read_bytes() == portal.files[path]
    assert manifest(folder)[path.removeprefix(f"{BASE}/")]["sha256"] == hashlib.sha256(portal.files[path]).hexdigest()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--from", "2018-06-10"), PAIRS[1:]),
        (("--to", "20180625"), PAIRS[:2]),
        (("--from", "2018-06-13", "--to", "2018-06-25"), PAIRS[1:2]),
    ],
)
def test_pairs_between_days(licsar, flags, expected):
    _, folder = licsar(*flags, "--files", "cc", "diff_pha")
    assert tuple(sorted(path.name for path in (folder / "interferograms").iterdir())) == expected


@pytest.mark.parametrize("day", ["2018-06-25", "20180625", "'2018-06-25'"])
def test_days_of_a_settings_file(tmp_path, day):
    path = tmp_path / "fetch.yaml"
    path.write_text(f"frame: 128D_09016_110500\nfrom: {day}\n")
    assert FetchLicsarConfig.from_yaml(path).start == "2018-06-25"


def test_dry_run_fetches_nothing(licsar, portal, capsys):
    code, folder = licsar("--dry-run", "--no-metadata")
    assert code == 0
    assert "6 files would be fetched" in capsys.readouterr().out
    assert not folder.exists()
    assert [path for _, path, _ in portal.log] == [f"{BASE}/interferograms/"]


def test_no_pair_between_days(licsar, capsys):
    assert licsar("--from", "2030-01-01")[0] == 1
    message = capsys.readouterr().err
    assert "none of its 3 pairs lies between 2030-01-01 and the last; the portal has 20180601 to 20180707" in message


def test_a_frame_that_is_not_there(licsar, portal, capsys):
    portal.files.clear()
    assert licsar()[0] == 1
    assert "its pairs cannot be listed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("128D", "--out", "x"), "expected track, A or D"),
        (("../../128D_09016_110500",), "expected track, A or D"),
        ((FRAME, "--from", "June"), "Invalid isoformat"),
        ((FRAME, "--from", "2019-01-01", "--to", "2018-01-01"), "expected the first day before the last"),
        ((FRAME, "--base-url", "file:///etc"), "expected an http"),
    ],
)
def test_wrong_flags(flags, message, capsys):
    assert cli.main(["fetch", "licsar", *flags]) == 2
    assert message in capsys.readouterr().err


def test_listings_cannot_choose_where_files_go(portal, tmp_path):
    listing = f"{BASE}/interferograms/"
    page = (
        '<a href="../../../../etc/20180601_20180613x/">x</a><a href="20180601_20189999/">no such day</a>'
        '<a href="%2e%2e%2f20180601_20180613/">20180601_20180613</a><a>no address</a><a href="20180613_20180625">'
    )
    portal.faults[listing] = [send(page.encode(), Content_Type="text/html")]
    portal.files[listing] = b""
    result = fetch_licsar(FetchLicsarConfig(frame=FRAME, base_url=f"{portal.url}/LiCSAR_products", out=tmp_path))
    groups = {outcome.item.group for outcome in result.outcomes}
    assert groups == {"", "20180601_20180613", "20180613_20180625"}
    assert all(outcome.item.target.resolve().is_relative_to(tmp_path.resolve()) for outcome in result.outcomes)


# What servers do to files.

PHASE = f"{BASE}/interferograms/{PAIRS[0]}/{PAIRS[0]}.geo.diff_pha.tif"


def phase_of(folder: Path) -> bytes:
    return (folder / PHASE.removeprefix(f"{BASE}/")).read_bytes()


def test_a_broken_connection_is_continued(licsar, portal, archive):
    portal.faults[PHASE] = [drop(1000), drop(500)]
    code, folder = licsar()
    assert code == 0
    assert phase_of(folder) == archive[PHASE]
    requests = portal.asked(PHASE)
    assert [headers.get("Range") for headers in requests] == [None, "bytes=1000-", "bytes=1500-"]
    assert requests[1]["If-Range"].startswith('"')


def test_a_stopped_run_is_continued_by_the_next(licsar, portal, archive, capsys):
    portal.faults[PHASE] = [drop(1000)]
    code, folder = licsar("--retries", "0")
    assert code == 3
    assert "the connection broke" in capsys.readouterr().out
    assert not (folder / PHASE.removeprefix(f"{BASE}/")).exists()
    portal.log.clear()
    assert licsar()[0] == 0
    assert [headers.get("Range") for headers in portal.asked(PHASE)] == ["bytes=1000-"]
    assert phase_of(folder) == archive[PHASE]


def test_a_file_that_changed_in_between_begins_anew(licsar, portal, archive):
    newer = archive[PHASE][::-1]
    portal.faults[PHASE] = [drop(1000), change(newer)]
    assert licsar()[0] == 0
    assert portal.asked(PHASE)[1]["Range"] == "bytes=1000-"
    _, folder = licsar()
    assert phase_of(folder) == newer


def test_a_server_without_ranges(licsar, portal, archive):
    portal.ranges = False
    portal.faults[PHASE] = [drop(1000), drop(2000)]
    code, folder = licsar()
    assert code == 0
    assert phase_of(folder) == archive[PHASE]


def test_a_server_without_versions_is_asked_for_all_of_it_again(licsar, portal, archive):
    portal.validators = False
    portal.faults[PHASE] = [drop(1000)]
    code, folder = licsar()
    assert code == 0
    assert ["Range" in headers for headers in portal.asked(PHASE)] == [False, False]
    assert phase_of(folder) == archive[PHASE]


def test_a_server_that_never_gets_further_is_given_up(licsar, portal):
    portal.ranges = False
    portal.faults[PHASE] = [drop(1000)] * 20
    code, _ = licsar("--retries", "2")
    assert code == 3
    # The first attempt gets somewhere; two more do not get further.
    assert len(portal.asked(PHASE)) == 3


def test_a_part_that_was_whole_gets_its_name(licsar, portal, archive, tmp_path):
    target = tmp_path / "data" / FRAME / PHASE.removeprefix(f"{BASE}/")
    target.parent.mkdir(parents=True)
    etag = f'"{hashlib.sha1(archive[PHASE]).hexdigest()[:13]}"'
    target.with_name(f"{target.name}.part").write_bytes(archive[PHASE])
    target.with_name(f"{target.name}.part.version").write_text(etag)
    _, folder = licsar()
    assert [headers["Range"] for headers in portal.asked(PHASE)] == [f"bytes={len(archive[PHASE])}-"]
    assert phase_of(folder) == archive[PHASE]


def test_a_part_that_is_too_long_is_thrown_away(licsar, archive, tmp_path):
    target = tmp_path / "data" / FRAME / PHASE.removeprefix(f"{BASE}/")
    target.parent.mkdir(parents=True)
    etag = f'"{hashlib.sha1(archive[PHASE]).hexdigest()[:13]}"'
    target.with_name(f"{target.name}.part").write_bytes(archive[PHASE] + b"more")
    target.with_name(f"{target.name}.part.version").write_text(etag)
    _, folder = licsar()
    assert phase_of(folder) == archive[PHASE]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_busy_server_is_given_the_time_it_asks_for(licsar, portal, archive, quick, form):
    later = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=120), usegmt=True)
    portal.faults[PHASE] = [busy(Retry_After="120" if form == "seconds" else later), busy(429, Retry_After="7")]
    code, folder = licsar()
    assert code == 0
    assert phase_of(folder) == archive[PHASE]
    assert len(quick) == 2
    assert 100 < quick[0] <= 120
    assert quick[1] == 7


def test_a_busy_server_that_does_not_say_how_long_is_waited_for_longer_and_longer(licsar, portal, quick):
    portal.faults[PHASE] = [busy(), busy(502), busy(Retry_After="soon")]
    assert licsar()[0] == 0
    assert len(quick) == 3
    for number, wait_s in enumerate(quick):
        assert 0.25 * 2**number <= wait_s <= 0.5 * 2**number


def test_a_server_that_asks_for_an_hour_is_left_alone(licsar, portal, capsys, quick):
    portal.faults[PHASE] = [busy(Retry_After="3600")]
    assert licsar()[0] == 3
    assert "asks to wait 3600 s: run the same command again later" in capsys.readouterr().out
    assert quick == []


def test_a_server_that_stays_busy_is_given_up(licsar, portal, capsys):
    portal.faults[PHASE] = [busy(500)] * 9
    assert licsar("--retries", "3")[0] == 3
    assert len(portal.asked(PHASE)) == 4
    assert "the server answered 500" in capsys.readouterr().out


def test_one_pair_without_files_does_not_stop_the_others(licsar, portal, capsys):
    portal.faults[PHASE] = [busy(404)]
    code, folder = licsar()
    assert code == 3
    out = capsys.readouterr().out
    assert "1 not on the server" in out
    assert f"no phase on the server: {PAIRS[0]}" in out
    assert len(list(folder.rglob("*.diff_pha.tif"))) == 2


def test_a_missing_companion_is_no_failure(licsar, portal, archive):
    del portal.files[f"{BASE}/metadata/{FRAME}.geo.hgt.tif"]
    del portal.files[PHASE.replace("diff_pha", "cc")]
    assert licsar()[0] == 0


def test_refused_access_names_the_remedy(licsar, portal, capsys):
    portal.faults[PHASE] = [busy(403)]
    assert licsar()[0] == 3
    assert len(portal.asked(PHASE)) == 1
    assert "access was refused (403); check your credentials" in capsys.readouterr().out


def test_the_page_of_a_login_is_not_taken_for_the_file(licsar, portal, capsys):
    portal.faults[PHASE] = [send(b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8")]
    code, folder = licsar()
    assert code == 3
    assert "a web page came instead of the file" in capsys.readouterr().out
    assert not list(folder.rglob(f"{Path(PHASE).name}*"))


@pytest.mark.parametrize("kind", ["Content-MD5", "Repr-Digest", "S3"])
def test_a_damaged_file_is_fetched_again(licsar, portal, archive, kind):
    content = archive[PHASE]
    md5, sha256 = hashlib.md5(content), hashlib.sha256(content)
    portal.headers[PHASE] = {
        "Content-MD5": {"Content-MD5": base64.b64encode(md5.digest()).decode()},
        "Repr-Digest": {"Repr-Digest": f"sha-256=:{base64.b64encode(sha256.digest()).decode()}:"},
        "S3": {"ETag": f'"{md5.hexdigest()}"', "Server": "AmazonS3"},
    }[kind]
    damaged = bytes([content[0] ^ 1]) + content[1:]
    portal.faults[PHASE] = [send(damaged)]
    code, folder = licsar()
    assert code == 0
    assert len(portal.asked(PHASE)) == 2
    assert phase_of(folder) == content


def test_a_file_that_stays_damaged_never_gets_its_name(licsar, portal, capsys):
    portal.headers[PHASE] = {"Content-MD5": base64.b64encode(bytes(16)).decode()}
    code, folder = licsar("--retries", "1")
    assert code == 3
    assert "is damaged (md5 is" in capsys.readouterr().out
    assert not (folder / PHASE.removeprefix(f"{BASE}/")).exists()


def test_an_unreachable_server_is_a_plain_sentence(tmp_path, capsys):
    command = ["fetch", "licsar", FRAME, "--base-url", "http://127.0.0.1:9", "--out", str(tmp_path), "--retries", "1"]
    assert cli.main(command) == 1
    message = capsys.readouterr().err
    assert "cannot be reached ([Errno 111] Connection refused); check the address and the network" in message
    assert message.count("\n") == 1


def test_a_damaged_manifest_is_named(licsar, tmp_path, capsys):
    (tmp_path / "data" / FRAME).mkdir(parents=True)
    (tmp_path / "data" / FRAME / "manifest.csv").write_text("site,split\n1,train\n")
    assert licsar()[0] == 1
    assert "is not the manifest of an earlier fetch" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_ends_the_run(licsar, tmp_path, monkeypatch, capsys):
    def full(self, *arguments, **named):
        message = "No space left on device"
        raise OSError(28, message)

    monkeypatch.setattr(client_module._Transfer, "resume", lambda self: (0, ""))
    monkeypatch.setattr(Path, "open", full)
    assert licsar()[0] == 1
    assert "cannot be written (No space left on device); free some space" in capsys.readouterr().err


def test_a_stop_by_the_user_keeps_what_came(licsar, portal, archive, monkeypatch, capsys):
    done = []
    original = Client.fetch

    def fetch(self: Client, item: Item, known: Version | None = None):
        outcome = original(self, item, known)
        done.append(outcome)
        return outcome

    def interrupted(futures):
        # After four files, as if by the keyboard.
        while len(done) < 4:
            time.sleep(0.01)
        raise KeyboardInterrupt
        yield futures

    monkeypatch.setattr(Client, "fetch", fetch)
    monkeypatch.setattr("fringewatch.fetch.batch.concurrent.futures.as_completed", interrupted)
    code, folder = licsar("--workers", "1")
    assert code == 130
    assert "the same command goes on from here" in capsys.readouterr().out
    assert 4 <= len(manifest(folder)) < 12
    monkeypatch.undo()
    portal.log.clear()
    assert licsar()[0] == 0
    assert len([path for verb, path, _ in portal.log if verb == "GET" and path.endswith(".tif")]) < 12 - 3
    assert phase_of(folder) == archive[PHASE]


# HyP3: its interface is that of https://hyp3-api.asf.alaska.edu, as hyp3-sdk speaks it.

JOB = "0d5b3e1c-5a1f-4c3b-9d5a-2f0b8f2d9a11"
PRODUCT = "S1AA_20190610T135156_20190622T135157_VVP012_INT80_G_ueF_F8BF.zip"


def job(portal: Portal, **changes: object) -> dict[str, object]:
    name = str(changes.pop("filename", PRODUCT))
    content = portal.files.setdefault(f"/files/{PRODUCT}", np.random.default_rng(0).bytes(5000))
    found = {
        "job_id": JOB, "job_type": "INSAR_GAMMA", "status_code": "SUCCEEDED",
        "request_time": "2026-01-01T00:00:00+00:00", "user_id": "someone",
        "name": "volcano", "expiration_time": "2099-01-01T00:00:00+00:00",
        "files": [{"filename": name, "size": len(content), "url": f"{portal.url}/files/{PRODUCT}"}],
    }  # fmt: skip
    return found | changes


@pytest.fixture
def hyp3(portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Serve jobs and run the command."""
    pytest.importorskip("hyp3_sdk", reason="needs the [fetch] extra")
    monkeypatch.setenv("EARTHDATA_TOKEN", "secret")

    def fetch(*words: str, jobs: list[dict[str, object]]) -> int:
        portal.files["/jobs"] = json.dumps({"jobs": jobs}).encode()
        portal.files |= {f"/jobs/{entry['job_id']}": json.dumps(entry).encode() for entry in jobs}
        return cli.main(["fetch", "hyp3", *words, "--api-url", portal.url, "--out", str(tmp_path)])

    return fetch


def test_a_project_is_fetched(hyp3, portal, tmp_path):
    assert hyp3("volcano", "--user", "someone", jobs=[job(portal)]) == 0
    assert (tmp_path / PRODUCT).read_bytes() == portal.files[f"/files/{PRODUCT}"]
    assert [reference.product for reference in discover(tmp_path)] == ["hyp3"]
    # The login goes to the interface, never to where the files lie.
    assert portal.asked("/jobs")[0]["Authorization"] == "Bearer secret"
    assert "Authorization" not in portal.asked(f"/files/{PRODUCT}")[0]
    portal.log.clear()
    assert hyp3("volcano", jobs=[job(portal)]) == 0
    assert not portal.asked(f"/files/{PRODUCT}")


def test_the_project_and_its_owner_are_asked_for(hyp3, portal, monkeypatch):
    asked = []
    monkeypatch.setattr(
        Handler, "send_file", lambda self, content, **_: asked.append(self.path) or self.reply(200, content, {})
    )
    hyp3("volcano", "--user", "someone", jobs=[job(portal)])
    assert parse_qs(urlsplit(asked[0]).query) == {"name": ["volcano"], "user_id": ["someone"]}


def test_a_job_is_fetched_by_its_id(hyp3, portal, tmp_path):
    portal.faults[f"/files/{PRODUCT}"] = [drop(2000)]
    assert hyp3(JOB, jobs=[job(portal)]) == 0
    assert (tmp_path / PRODUCT).read_bytes() == portal.files[f"/files/{PRODUCT}"]
    assert portal.asked(f"/jobs/{JOB}")
    assert portal.asked(f"/files/{PRODUCT}")[1]["Range"] == "bytes=2000-"


def test_half_a_file_on_the_server_is_refused(hyp3, portal, tmp_path, capsys):
    entry = job(portal)
    portal.files[f"/files/{PRODUCT}"] = portal.files[f"/files/{PRODUCT}"][:2500]
    assert hyp3("volcano", jobs=[entry]) == 1
    assert "is 2,500 bytes long, but the archive's catalogue says 5,000" in capsys.readouterr().out
    assert not (tmp_path / PRODUCT).exists()


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"job_type": "RTC_GAMMA"}, "is RTC_GAMMA, no interferogram"),
        ({"status_code": "RUNNING"}, "is running"),
        ({"expiration_time": "2020-01-01T00:00:00+00:00"}, "has expired"),
        ({"files": None}, "names no files"),
    ],
)
def test_jobs_without_products_are_told(hyp3, portal, changes, note, capsys):
    assert hyp3("volcano", jobs=[job(portal, **changes)]) == 1
    out = capsys.readouterr().out
    assert f"job {JOB} of volcano {note}" in out
    assert "nothing to fetch" in out
    assert hyp3("volcano", jobs=[job(portal), job(portal, **changes)]) == 3


@pytest.mark.parametrize("name", ["../evil.zip", "/etc/evil.zip", "..", "a\\b.zip", "c:evil.zip", ""])
def test_names_of_a_server_cannot_choose_where_files_go(hyp3, portal, name, tmp_path, capsys):
    assert hyp3("volcano", jobs=[job(portal, filename=name)]) == 1
    assert "expected a plain file name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_unknown_projects_and_refused_logins(hyp3, portal, capsys):
    assert hyp3("nothing", jobs=[]) == 1
    assert "nothing: no such project" in capsys.readouterr().err
    portal.faults["/jobs"] = [busy(401, Content_Type="application/json")]
    assert hyp3("volcano", jobs=[job(portal)]) == 1
    assert "the jobs cannot be looked up" in capsys.readouterr().err
    portal.faults["/jobs"] = [send(b'{"other": 1}')]
    assert hyp3("volcano", jobs=[]) == 1
    assert "does not answer as HyP3 does" in capsys.readouterr().err


def test_without_a_job_the_command_says_what_to_name(capsys):
    assert cli.main(["fetch", "hyp3"]) == 2
    assert "name job ids or projects" in capsys.readouterr().err


def test_the_extra_is_named_where_it_lacks(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "hyp3_sdk", None)
    monkeypatch.setitem(__import__("sys").modules, "requests", None)
    assert cli.main(["fetch", "hyp3", "volcano"]) == 1
    assert "pip install 'fringewatch[fetch]'" in capsys.readouterr().err
    with pytest.raises(MissingExtraError, match=r"fringewatch\[fetch\]"):
        fetch_licsar(FetchLicsarConfig(frame=FRAME, out=tmp_path))


def test_fetch_alone_says_what_there_is(capsys):
    assert cli.main(["fetch"]) == 2
    assert "expected fetch licsar or fetch hyp3" in capsys.readouterr().err
    assert cli.main(["fetch", "--help"]) == 0
    assert "fringewatch fetch licsar" in capsys.readouterr().out
