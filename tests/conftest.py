"""Fixtures that several tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from fringewatch.models import Card, Thresholds, save_bundle

try:
    import pwd
except ImportError:  # Windows
    pwd = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# The same examples in every run: what passes here passes on the next machine.
settings.register_profile("fixed", derandomize=True)
settings.load_profile("fixed")

TINY_STRIDE = 4
TINY_HALO_PX = 24


def write_tiny_network(path: Path) -> None:
    """Write a network small enough for tests that nevertheless finds fringes.

    Along each axis it multiplies neighbouring phasors to get the local fringe rate (sine of the phase step), keeps it
    where both pixels are valid, takes its magnitude in 4 x 4 blocks and smooths it over 9 x 9 map pixels: about 6 where
    the phase turns by 0.5 rad per pixel, about -4 where it is flat. Receptive field: 1 + 2 + 4 * 4 pixels at most.
    """
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(values, np.float32), name)

    nodes, weights = [], []
    # Phase step along x and y as Im(z conj(z shifted)) = s c' - c s', with two one-hot convolutions for z and z'.
    for axis, (row, column) in {"x": (1, 2), "y": (2, 1)}.items():
        here, there = np.zeros((2, 3, 3, 3)), np.zeros((2, 3, 3, 3))
        here[0, 0, 1, 1] = here[1, 1, 1, 1] = 1
        there[0, 1, row, column] = there[1, 0, row, column] = 1  # channels swapped: (s', c')
        weights += [constant(f"here_{axis}", here), constant(f"there_{axis}", there)]
        mix = np.zeros((1, 2, 1, 1))
        mix[0, 0], mix[0, 1] = -1, 1
        weights.append(constant(f"mix_{axis}", mix))
        nodes += [
            helper.make_node("Conv", ["phase", f"here_{axis}"], [f"a_{axis}"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["phase", f"there_{axis}"], [f"b_{axis}"], pads=[1, 1, 1, 1]),
            helper.make_node("Mul", [f"a_{axis}", f"b_{axis}"], [f"p_{axis}"]),
            helper.make_node("Conv", [f"p_{axis}", f"mix_{axis}"], [f"step_{axis}"]),
            helper.make_node("AveragePool", [f"step_{axis}"], [f"mean_{axis}"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Abs", [f"mean_{axis}"], [f"rate_{axis}"]),
        ]
    weights += [constant("smooth", np.full((1, 1, 9, 9), 20 / 81)), constant("bias", np.array([-4.0]))]
    nodes += [
        helper.make_node("Add", ["rate_x", "rate_y"], ["rate"]),
        helper.make_node("Conv", ["rate", "smooth", "bias"], ["map"], pads=[4, 4, 4, 4]),
        helper.make_node("GlobalMaxPool", ["map"], ["top"]),
        helper.make_node("Flatten", ["top"], ["scene"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("phase", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [
            helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 1, "h4", "w4"]),
            helper.make_tensor_value_info("scene", TensorProto.FLOAT, ["n", 1]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@pytest.fixture(scope="session")
def tiny_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle whose network finds fringes by their rate; not trained, float32 only named as both."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    write_tiny_network(folder / "model.onnx")
    card = Card(
        name="tiny",
        version="1",
        description="A fringe-rate detector for tests.",
        architecture="tiny",
        parameters=100,
        stride=TINY_STRIDE,
        multiple=16,
        halo_px=TINY_HALO_PX,
        thresholds=Thresholds(scene=0.5, region_edge=0.3),
        files={"float32": "model.onnx", "int8": "model.onnx"},
        sha256={},  # filled in by save_bundle
    )
    return save_bundle(folder, card)


def ring_phase(shape: tuple[int, int], row: float, column: float, *, fringes: float = 4.0, seed: int = 0) -> np.ndarray:
    """Return wrapped phase, (H, W) float32: a cone of fringes, 30 pixels in radius, over weak noise."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    cone = np.clip(1 - np.hypot(rows - row, columns - column) / 30, 0, None)
    noise = 0.2 * np.random.default_rng(seed).standard_normal(shape)
    return np.angle(np.exp(1j * (2 * np.pi * fringes * cone + noise))).astype(np.float32)


@pytest.fixture
def write_scene(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a GeoTIFF of wrapped phase with fringes about row 70, column 120, or without."""
    import rasterio

    def write(
        name: str = "20200101_20200113.tif",
        *,
        deforming: bool = True,
        shape: tuple[int, int] = (160, 200),
        phase: np.ndarray | None = None,
        seed: int = 0,
        **georeference: object,
    ) -> Path:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if phase is None:
            phase = ring_phase(shape, 70, 120, fringes=4.0 if deforming else 0.0, seed=seed)
        grid = georeference or {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 14.0, 0, -0.001, 41.0)}
        profile = {"driver": "GTiff", "count": 1, "dtype": phase.dtype.name, "nodata": np.nan, **grid}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(path, "w", height=phase.shape[0], width=phase.shape[1], **profile) as target:
                target.write(phase, 1)
        return path

    return write


class PostgresServer:
    """A private PostgreSQL server on a socket in a folder of its own; nothing of the machine's is touched.

    Parameters
    ----------
    programs
        Folder of ``initdb`` and ``pg_ctl``.
    folder
        Where data and socket go; short, for paths of sockets are limited to 107 bytes.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self.folder = folder
        # PostgreSQL refuses to run as root.
        self._user = next((u.pw_name for u in pwd.getpwall() if u.pw_name in {"postgres", "nobody"}), None)
        if os.geteuid() == 0:
            shutil.chown(folder, self._user)
        self._call("initdb", "--auth=trust", "--username=tester", "--encoding=UTF8", "--locale=C", "--no-sync")
        self.start()

    def _call(self, program: str, *arguments: str) -> None:
        as_user = {"user": self._user, "cwd": self.folder} if os.geteuid() == 0 else {}
        subprocess.run(
            [self._programs / program, "-D", self.folder / "data", *arguments],
            check=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **as_user,
        )

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=40"
        self._call("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self, mode: str = "immediate") -> None:
        self._call("pg_ctl", "-w", "-m", mode, "stop")

    def url(self, database: str) -> str:
        return f"postgresql://tester@/{database}?host={self.folder}"

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        psycopg = pytest.importorskip("psycopg")
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server with a template database that has PostGIS."""

    def missing(reason: str) -> None:
        # CI installs a server and must not pass without it.
        (pytest.fail if os.environ.get("FRINGEWATCH_NEEDS_POSTGRES") else pytest.skip)(reason)

    if pwd is None:
        pytest.skip("the tests start PostgreSQL on POSIX systems only")
    found = [shutil.which("pg_ctl"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), reverse=True))]
    programs = next((Path(program).resolve().parent for program in found if program), None)
    if programs is None or not (programs / "initdb").exists():
        missing("no PostgreSQL server (initdb, pg_ctl) on this machine")
    pytest.importorskip("psycopg")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        server = PostgresServer(programs, folder)
        try:
            server.execute("CREATE DATABASE with_postgis")
            try:
                server.execute("CREATE EXTENSION postgis", database="with_postgis")
            except Exception as error:  # noqa: BLE001  (psycopg is optional: its errors cannot be named here)
                missing(f"PostgreSQL has no PostGIS: {error}")
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgis_url(postgres_server: PostgresServer) -> str:
    """Address of an empty database with PostGIS, the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE with_postgis")
    return postgres_server.url(name)


@pytest.fixture
def fill_catalog() -> Callable[..., None]:
    """Return a function that adds pairs to a catalogue, made if missing, flagged from a score of 0.5.

    Sites are told apart by name, lie a degree apart on the equator, are volcanoes, and stand in the middle of a square
    of 0.2 degrees, which the scenes show.
    """
    import geopandas as gpd
    import shapely

    from fringewatch.catalog import Catalog, SceneRecord
    from fringewatch.regions import COLUMNS
    from fringewatch.report import SceneRow
    from fringewatch.sites import Sites

    def fill(
        place: object,
        pairs: Iterable[tuple[str, object, object, float]],
        *,
        names: Sequence[str],
        folder: str = "/data",
        settings: str = "test",
        config: str = "",
    ) -> None:
        places = {name: shapely.Point(10 + number, 0) for number, name in enumerate(names)}
        numbers = [f"{number:06}" for number in range(len(names))]
        table = {"name": list(names), "number": numbers, "kind": "volcano"}
        sites = Sites(gpd.GeoDataFrame(table, geometry=list(places.values()), crs="EPSG:4326"))
        scenes, found, outlines = [], [], []
        for site, reference, secondary, score in pairs:
            name = f"{site}_{reference}_{secondary}"
            flagged = score >= 0.5
            row = SceneRow(
                file=f"{folder}/{name}.tif",
                name=name,
                status="ok",
                score=score,
                flagged=flagged,
                detections=int(flagged),
                area_km2=4.0 * flagged,
                reference_date=str(reference),
                secondary_date=str(secondary),
            )
            box = shapely.box(*places[site].buffer(0.1).bounds)
            scenes.append(SceneRecord(row=row, state="", footprint=box, content_hash=name))
            if flagged:
                values = {column: "" if kind == "str" else 0 for column, kind in COLUMNS.items()}
                dates = {"reference_date": str(reference), "secondary_date": str(secondary)}
                found.append(values | dates | {"scene": name, "score": score, "area_km2": 4.0})
                outlines.append(places[site].buffer(0.02))
        detections = gpd.GeoDataFrame(found, geometry=outlines, crs="EPSG:4326") if found else None
        with Catalog.open(place, sites=sites) as catalog:
            catalog.add(catalog.start_run(config, settings=settings), scenes, detections)

    return fill
