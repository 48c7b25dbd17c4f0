"""Damaged products: files of every format, mutated from a seed, and a judge of what reading them gives.

Case `n` is always the same. A case is good if reading raises an error of fringewatch or gives an interferogram that
keeps its schema; it is wrong if anything else is raised, if the schema is broken, or if a phase file that was merely
cut short gives finite phase that it did not have when it was whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import shutil
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fringewatch as fw
import product_writers
from fringewatch.errors import FringewatchError
from fringewatch.products import discover

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Case", "Seed", "Verdict", "judge", "make_case", "make_seeds"]

PI = np.float32(np.pi)
_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NASTY_NUMBERS = (
    b"0", b"-1", b"1", b"7", b"-7.5", b"65536", b"2147483647", b"4294967296", b"99999999999999999999", b"1e308",
    b"-1e308", b"1e-320", b"nan", b"inf", b"", b"x", b"0x10", b"1,5", b"1 2",
)  # fmt: skip
_NASTY_TEXT = (
    b"../../../../etc/passwd", b"/etc/passwd", b"file:///etc/passwd", b"&a;", b"<!DOCTYPE a [<!ENTITY a 'aaaa'>]>",
    b"%s%n", b"\x00", b"\xff\xfe", "é中".encode(), b"\r\n\r\n", b"[" * 5000, b"<" * 200, b"9" * 400, b"A" * 100_000,
)  # fmt: skip
_NASTY_WORDS = (0, 1, -1, 2, 127, 255, 32_767, 65_535, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 30)


@dataclasses.dataclass(frozen=True)
class Seed:
    """A product as it should be.

    Attributes
    ----------
    name
        Of its form.
    folder
        Holds all of its files, and nothing else.
    opened
        What is named to fringewatch, relative to `folder`; with ``#member`` where that is needed.
    phase
        What reading it gives, to know a wrong result by.
    """

    name: str
    folder: Path
    opened: str
    phase: np.ndarray


@dataclasses.dataclass(frozen=True)
class Case:
    """A damaged copy of a seed."""

    seed: Seed
    path: str
    damage: tuple[str, ...]
    cut_phase_only: bool


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a case: ``refused``, ``read``, or what is wrong."""

    kind: str
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.kind in {"refused", "read"}


def make_seeds(folder: Path) -> list[Seed]:
    """Write every form of every product below a folder; forms whose optional library lacks are left out."""
    scene = product_writers.Scene()
    seeds = []
    writers = {**product_writers.WRITERS, **_more_writers()}
    with contextlib.suppress(ImportError):
        import hdf5_writers  # needs the [formats] extra

        writers |= hdf5_writers.WRITERS
    for number, (name, write) in enumerate(writers.items()):
        place = folder / f"{number:02d}"
        place.mkdir(parents=True)
        written = write(place, scene)
        path = written.path if hasattr(written, "path") else written
        address = str(path)
        relative = str(Path(address.partition("#")[0]).relative_to(place)) + "".join(address.partition("#")[1:])
        phase = fw.open_interferogram(address)["phase"].values
        seeds.append(Seed(name, place, relative, phase))
    return seeds


def _more_writers() -> dict[str, Callable[[Path, Any], Path]]:
    """Return writers of forms that are read by no product reader of their own."""

    def grey(folder: Path, scene: Any) -> Path:
        from PIL import Image

        values = np.rint((np.nan_to_num(scene.wrapped) + np.pi) * 255 / (2 * np.pi)).astype(np.uint8)
        Image.fromarray(np.dstack([values, np.where(scene.valid, 255, 0).astype(np.uint8)]), "LA").save(
            folder / "a.png"
        )
        return folder / "a.png"

    def colour(folder: Path, scene: Any) -> Path:
        from PIL import Image

        hue = np.rint((np.nan_to_num(scene.wrapped) + np.pi) * 255 / (2 * np.pi)).astype(np.uint8)
        full = np.full_like(hue, 255)
        Image.merge("HSV", [Image.fromarray(band) for band in (hue, full, full)]).convert("RGB").save(folder / "a.png")
        return folder / "a.png"

    def zipped(folder: Path, scene: Any) -> Path:
        inner = folder / "inner"
        product_writers.write_licsar(inner, scene)
        with zipfile.ZipFile(folder / "frame.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(inner.rglob("*.tif")):
                archive.write(path, path.relative_to(inner))
        shutil.rmtree(inner)
        return folder / "frame.zip"

    def item(folder: Path, scene: Any) -> Path:
        written = product_writers.write_geotiff(folder, scene)
        assets = {"wrapped": {"href": f"./{written.path.relative_to(folder)}", "roles": ["data"]}}
        times = {"datetime": None, "start_datetime": "2018-06-01T00:00:00Z", "end_datetime": "2018-06-13T00:00:00Z"}
        content = {
            "type": "Feature", "stac_version": "1.0.0", "id": "x", "geometry": None, "links": [], "assets": assets,
            "properties": times | {"sar:center_frequency": 5.405, "proj:code": "EPSG:4326"},
        }  # fmt: skip
        (folder / "item.json").write_text(json.dumps(content))
        return folder / "item.json"

    def virtual(folder: Path, scene: Any) -> Path:
        import rasterio.shutil

        written = product_writers.write_geotiff(folder, scene)
        rasterio.shutil.copy(str(written.path), str(folder / "a.vrt"), driver="VRT")
        return folder / "a.vrt"

    found: dict[str, Callable[[Path, Any], Path]] = {
        "picture, grey": grey, "picture, colour": colour, "zip": zipped, "vrt": virtual,
    }  # fmt: skip
    with contextlib.suppress(ImportError):
        import pystac  # noqa: F401  (the reader needs it)

        found["stac"] = item
    return found


# Damage.


def make_case(seeds: list[Seed], number: int, folder: Path, *, root: int = 0) -> Case:
    """Copy a seed into an empty folder and damage it; forms take turns."""
    rng = np.random.default_rng([root, number])
    seed = seeds[number % len(seeds)]
    shutil.copytree(seed.folder, folder, dirs_exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    main = folder / seed.opened.partition("#")[0]
    cut_only = rng.random() < 0.1
    if cut_only:
        size = main.stat().st_size
        keep = int(rng.integers(0, size))
        main.write_bytes(main.read_bytes()[:keep])
        return Case(seed, str(folder / seed.opened), (f"{main.name}: cut from {size} to {keep} bytes",), True)
    damage = []
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        path = main if rng.random() < 0.5 else files[int(rng.integers(len(files)))]
        if path.is_file():
            damage.append(f"{path.name}: {_damage(path, files, rng)}")
    return Case(seed, str(folder / seed.opened), tuple(damage), False)


def _damage(path: Path, files: list[Path], rng: np.random.Generator) -> str:
    content = path.read_bytes()
    if content[:8] == b"\x89HDF\r\n\x1a\n" and rng.random() < 0.7:
        with contextlib.suppress(OSError, RuntimeError, ValueError, KeyError):  # damaged before
            return _damage_hdf5(path, rng)
    if path.suffix == ".zip" and rng.random() < 0.5:
        with contextlib.suppress(
            zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError
        ):  # damaged before
            return _damage_zip(path, rng)
    textual = len(content) > 0 and sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in content[:2000]) > 0.95 * min(
        len(content), 2000
    )
    choices = [*_BYTES, *(_TEXT * 2 if textual else ())]
    choose = choices[int(rng.integers(len(choices)))]
    if rng.random() < 0.04:
        choose = _whole_file
        return choose(path, files, rng)
    path.write_bytes(choose(content, rng))
    return choose.__name__.strip("_")


def _whole_file(path: Path, files: list[Path], rng: np.random.Generator) -> str:
    kind = str(rng.choice(["removed", "emptied", "another", "noise", "folder"]))
    if kind == "removed":
        path.unlink()
    elif kind == "emptied":
        path.write_bytes(b"")
    elif kind == "another":
        other = files[int(rng.integers(len(files)))]
        path.write_bytes(other.read_bytes() if other.is_file() else b"")
    elif kind == "noise":
        path.write_bytes(rng.bytes(int(rng.integers(1, 20_000))))
    else:
        path.unlink()
        path.mkdir()
    return kind


def _span(content: bytes, rng: np.random.Generator, most: int) -> tuple[int, int]:
    start = int(rng.integers(0, len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, most + 1)))


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip a few bits, half of the time in the head, where sizes and offsets are."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 20))):
        if changed:
            limit = min(len(changed), 600) if rng.random() < 0.5 else len(changed)
            changed[int(rng.integers(limit))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _word(content: bytes, rng: np.random.Generator) -> bytes:
    """Write an extreme whole number over some bytes, in either order."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.choice([1, 2, 4, 8]))
        if len(changed) < width:
            break
        limit = min(len(changed), 600) if rng.random() < 0.7 else len(changed)
        start = int(rng.integers(max(limit - width, 0) + 1))
        value = _NASTY_WORDS[int(rng.integers(len(_NASTY_WORDS)))] & ((1 << (8 * width)) - 1)
        changed[start : start + width] = value.to_bytes(width, "big" if rng.random() < 0.5 else "little")
    return bytes(changed)


def _overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng, 400)
    fill = (bytes(stop - start), b"\xff" * (stop - start), rng.bytes(stop - start))
    return content[:start] + fill[int(rng.integers(3))] + content[stop:]


def _delete(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng, 2000)
    return content[:start] + content[stop:]


def _double(content: bytes, rng: np.random.Generator) -> bytes:
    start, stop = _span(content, rng, 2000)
    return content[:stop] + content[start:]


def _insert(content: bytes, rng: np.random.Generator) -> bytes:
    start, _ = _span(content, rng, 1)
    return content[:start] + rng.bytes(int(rng.integers(1, 300))) + content[start:]


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(0, len(content) + 1))]


def _number(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace a number of a text by one that nobody expects."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    match = found[int(rng.integers(len(found)))]
    return content[: match.start()] + _NASTY_NUMBERS[int(rng.integers(len(_NASTY_NUMBERS)))] + content[match.end() :]


def _line(content: bytes, rng: np.random.Generator) -> bytes:
    """Remove, repeat or swap lines of a text."""
    lines = content.splitlines(keepends=True)
    if len(lines) < 2:
        return content
    i, j = (int(n) for n in rng.integers(len(lines), size=2))
    kind = rng.integers(3)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    else:
        lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines)


def _word_of_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Put something nasty in the place of a word."""
    found = list(re.finditer(rb"[\w./-]+", content))
    nasty = _NASTY_TEXT[int(rng.integers(len(_NASTY_TEXT)))]
    if not found:
        return nasty
    match = found[int(rng.integers(len(found)))]
    return content[: match.start()] + nasty + content[match.end() :]


_BYTES = (_flip, _flip, _word, _word, _overwrite, _delete, _double, _insert, _cut)
_TEXT = (_number, _number, _line, _word_of_text)


def _damage_zip(path: Path, rng: np.random.Generator) -> str:
    """Damage a file inside a zip, so that the zip itself stays in order."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    if not members:
        return "already empty"
    name = list(members)[int(rng.integers(len(members)))]
    damage = _BYTES[int(rng.integers(len(_BYTES)))]
    members[name] = damage(members[name], rng)
    if rng.random() < 0.1:
        members[f"../{name}"] = members.pop(name)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, content in members.items():
            archive.writestr(inner, content)
    path.write_bytes(buffer.getvalue())
    return f"{damage.__name__.strip('_')} inside"


def _damage_hdf5(path: Path, rng: np.random.Generator) -> str:
    """Change the objects of an HDF5 file through its own library: types, shapes, attributes, values."""
    import h5py

    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        if not names:
            return "HDF5 already empty"
        name = names[int(rng.integers(len(names)))]
        thing = file[name]
        kind = str(rng.choice(["delete", "replace", "attribute", "attribute", "root attribute", "values"]))
        if kind == "delete":
            del file[name]
        elif kind == "replace":
            attributes = dict(thing.attrs)
            del file[name]
            file[name] = _nasty_array(rng)
            for key, value in attributes.items():
                with contextlib.suppress(Exception):
                    file[name].attrs[key] = value
        elif kind == "values" and isinstance(thing, h5py.Dataset) and thing.dtype.kind in "iuf" and thing.size:
            fill = [0, -1, 1, 127, *([np.nan, np.inf, 1e30] if thing.dtype.kind == "f" else [])]
            value = fill[int(rng.integers(len(fill)))]
            with contextlib.suppress(Exception):
                thing[...] = np.asarray(value).astype(thing.dtype)
        else:
            owner = file if kind == "root attribute" else thing
            keys = list(owner.attrs)
            if keys:
                key = keys[int(rng.integers(len(keys)))]
                if rng.random() < 0.3:
                    del owner.attrs[key]
                else:
                    with contextlib.suppress(Exception):
                        owner.attrs[key] = _nasty_attribute(rng)
    return f"HDF5 {kind} {name}"


def _nasty_array(rng: np.random.Generator) -> Any:
    shapes = [(), (0,), (1,), (3,), (44, 61), (61, 44), (2, 44, 61), (0, 61), (9, 9, 9, 9)]
    shape = shapes[int(rng.integers(len(shapes)))]
    kind = str(rng.choice(["f4", "f8", "i2", "u1", "c8", "S8", "bool"]))
    return np.zeros(shape, kind) if rng.random() < 0.3 else rng.uniform(-9, 9, shape).astype(kind)


def _nasty_attribute(rng: np.random.Generator) -> Any:
    values = ["", "x", "nan", "-1", "1e400", "../../etc/passwd", b"\xff\xfe", 0, -1, 2**62, np.nan, np.inf, np.zeros(0),
              np.zeros((3, 3)), np.array(["a", "b"], "S1"), "20180231", "9" * 300, "EPSG:1", 1e308]  # fmt: skip
    return values[int(rng.integers(len(values)))]


# Judgement.


def judge(case: Case) -> Verdict:
    """Find and read a case, and say what came of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            references = list(discover(case.path))
            found = [fw.open_interferogram(reference) for reference in references[:3]]
            found += [fw.open_interferogram(case.path)] if not references else []
            for interferogram in found:
                interferogram.load()
    except FringewatchError as error:
        text = str(error)
        if "\n" in text or len(text) > 20_000:
            return Verdict("long message", text[:300])
        return Verdict("refused")
    except Exception as error:  # noqa: BLE001  (whatever else is raised is what is looked for)
        return Verdict(f"raised {type(error).__name__}", f"{_where(error)}: {str(error)[:300]}")
    for interferogram in found:
        broken = _broken_schema(interferogram)
        if broken:
            return Verdict("broken schema", broken)
        if case.cut_phase_only and (invented := _invented(interferogram["phase"].values, case.seed.phase)):
            return Verdict("invented phase", invented)
    return Verdict("read")


def _where(error: BaseException) -> str:
    """Return the last place in fringewatch that an error came through."""
    place, trace = "?", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "fringewatch" in name and "product_fuzzing" not in name:
            place = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _broken_schema(dataset: Any) -> str:
    """Return what an interferogram says that it must not; ``""`` for nothing."""
    phase = dataset["phase"].values
    if phase.dtype != np.float32 or dataset["phase"].dims != ("y", "x"):
        return f"phase is {phase.dtype} {dataset['phase'].dims}"
    finite = phase[np.isfinite(phase)]
    if not finite.size or np.isinf(phase).any() or finite.min() <= -PI - 1e-6 or finite.max() > PI + 1e-6:
        return "phase is not in (-pi, pi]"
    coherence = dataset.get("coherence")
    if coherence is not None and not ((coherence >= 0) & (coherence <= 1) | coherence.isnull()).all():
        return "coherence is not in [0, 1]"
    for name, variable in dataset.data_vars.items():
        if variable.shape != phase.shape or variable.dtype != np.float32:
            return f"{name} is {variable.dtype} {variable.shape}"
        if np.isinf(variable.values).any():
            return f"{name} is infinite somewhere"
    if {"los_east", "los_north", "los_up"} <= set(dataset.data_vars):
        squares = sum(dataset[name].values.astype(float) ** 2 for name in ("los_east", "los_north", "los_up"))
        known = squares[np.isfinite(squares)]
        if known.size and np.abs(known - 1).max() > 0.05:
            return f"the line of sight has length {np.sqrt(known.max()):.3g}"
    for name in ("x", "y"):
        steps = np.diff(dataset[name].values)
        if not np.isfinite(dataset[name].values).all() or not ((steps > 0).all() or (steps < 0).all()):
            return f"coordinate {name} is no axis"
    attrs = dataset.attrs
    if not 0.005 < attrs["wavelength_m"] < 2:
        return f"wavelength_m is {attrs['wavelength_m']}"
    for name in ("reference_date", "secondary_date"):
        if not re.fullmatch(r"(?:(?:19|20)\d\d-[01]\d-[0-3]\d)?", attrs[name]):
            return f"{name} is {attrs[name]!r}"
    if not all(isinstance(text, str) and "\n" not in text for text in attrs["assumptions"]):
        return "an assumption is no sentence"
    if attrs["phase_sign"] not in {"range increase", "unknown"}:
        return f"phase_sign is {attrs['phase_sign']!r}"
    return ""


def _invented(phase: np.ndarray, whole: np.ndarray) -> str:
    if phase.shape != whole.shape:
        return f"shape {phase.shape} of a cut file that had {whole.shape}"
    both = np.isfinite(phase) & np.isfinite(whole)
    wrong = np.isfinite(phase) & ~np.isfinite(whole)
    wrong[both] = np.abs(np.angle(np.exp(1j * (phase[both].astype(float) - whole[both])))) > 1e-4
    return f"{int(wrong.sum())} pixels of a cut file have phase that it never had" if wrong.any() else ""
