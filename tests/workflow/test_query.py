"""``fringewatch query``: what a person types, and what comes out."""

from __future__ import annotations

import csv
import io
import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import shapely

from fringewatch.catalog import Catalog, SceneRecord
from fringewatch.catalog.command import QueryConfig, run
from fringewatch.cli import main
from fringewatch.regions import COLUMNS
from fringewatch.report import SceneRow
from fringewatch.sites import Sites

SCENES = {"quiet": (0.1, "2018-01-13"), "dyke": (0.97, "2018-12-26"), "later": (0.92, "2019-01-07")}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three scenes of Etna, two of them with a detection, and one across the date line."""
    path = tmp_path_factory.mktemp("archive") / "found.gpkg"
    records = [
        SceneRecord(
            row=SceneRow(
                file=f"/archive/{name}.tif",
                name=name,
                status="ok",
                score=score,
                flagged=score > 0.5,
                reference_date="2018-01-01",
                secondary_date=secondary,
                model="tiny",
            ),
            state="1",
            footprint=shapely.box(14.7, 37.5, 15.3, 38.0),
        )
        for name, (score, secondary) in SCENES.items()
    ]
    row = SceneRow(file="/archive/fiji.tif", name="fiji", status="ok", score=0.2, flagged=False)
    records.append(SceneRecord(row=row, state="1", footprint=shapely.box(179.8, -17, 180.2, -16.6)))
    plain = {"str": "", "int64": 1, "float64": 0.5}
    table = {name: np.array([plain[kind]] * 2, dtype=kind) for name, kind in COLUMNS.items()}
    table |= {"scene": ["dyke", "later"], "score": [0.97, 0.92], "secondary_date": ["2018-12-26", "2019-01-07"]}
    outline = shapely.Point(15.05, 37.72).buffer(0.02)
    with Catalog.open(path) as catalog:
        found = gpd.GeoDataFrame(table | {"reference_date": "2018-01-01"}, geometry=[outline] * 2, crs="EPSG:4326")
        catalog.add(catalog.start_run(settings="s"), records, found)
    return str(path)


def test_a_table_for_people(place, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["query", place, "--site", "etna", "--from", "2018-01-13", "--to", "2018-12-31"]) == 0
    said = capsys.readouterr()
    header, first, second = said.out.splitlines()
    # The model is that of all.
    assert header.split() == ["score", "name", "dates", "site", "km", "found"]
    assert first.split() == ["0.970", "dyke", "2018-01-01", "2018-12-26", "Etna", "0.0"]
    assert second.split()[:2] == ["0.100", "quiet"]
    assert said.err == "2 scenes\n"


def test_scores_without_the_height_trend_have_a_column_where_there_are_any(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    rows = [
        SceneRow(file=f"/{name}.tif", name=name, status="ok", score=score, flagged=True, level_score=level)
        for name, score, level in (("cone", 0.9, 0.125), ("dyke", 0.8, None))
    ]
    with Catalog.open(tmp_path / "found.gpkg") as catalog:
        catalog.add(catalog.start_run(settings="s"), [SceneRecord(row=row, state="1") for row in rows])
    assert main(["query", str(tmp_path / "found.gpkg")]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["score", "w/o", "trend", "name"]
    assert [line.split()[:2] for line in lines] == [["0.900", "0.125"], ["0.800", "dyke"]]


def test_long_tables_are_cut_and_say_so(place, capsys):
    assert main(["query", place, "--limit", "1"]) == 0
    said = capsys.readouterr()
    assert "dyke" in said.out
    assert "later" not in said.out
    assert said.err == "4 scenes, of which the 1 with the highest scores are shown\n"


def test_brackets_in_names_are_no_markup(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    sites = gpd.GeoDataFrame(
        {"name": ["Schacht [/Nord]"], "number": [""], "kind": ["mine"]},
        geometry=[shapely.Point(15, 37.75)],
        crs="EPSG:4326",
    )
    row = SceneRow(file="/archive/[red]a.tif", name="[red]a", status="ok", score=0.9, flagged=True)
    with Catalog.open(tmp_path / "found.gpkg", sites=Sites(sites)) as catalog:
        scene = SceneRecord(row=row, state="1", footprint=shapely.box(14.7, 37.5, 15.3, 38.0))
        catalog.add(catalog.start_run(settings="s"), [scene])
    assert main(["query", str(tmp_path / "found.gpkg")]) == 0
    assert "[red]a" in (out := capsys.readouterr().out)
    assert "Schacht [/Nord]" in out


@pytest.mark.parametrize("flags", [["--min-score", "1"], ["--kind", "mine"]])
def test_passwords_are_not_printed(place, capsys, monkeypatch, flags):
    real = Catalog.open
    monkeypatch.setattr(Catalog, "open", lambda _, **options: real(place, **options))
    main(["query", "postgresql://tester:pa/ss@host/insar?password=pass", *flags])
    said = capsys.readouterr()
    assert " in postgresql://tester:***@host/insar" in said.err
    assert "ss" not in said.out + said.err.replace("this", "")


def test_nothing_found_is_no_error(place, capsys):
    assert main(["query", place, "--min-score", "1"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("no scenes in ")


def test_csv_to_standard_output(place, capsys):
    assert main(["query", place, "--site", "Etna", "--min-score", "0.9", "--kind", "volcano", "--out", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["name"], row["score"], row["secondary_date"]) for row in rows] == [
        ("dyke", "0.97", "2018-12-26"),
        ("later", "0.92", "2019-01-07"),
    ]
    assert (rows[0]["lon"], rows[0]["lat"], rows[0]["site_number"]) == ("15.0", "37.75", "211060")
    assert "scene_id" not in rows[0]


def test_geojson_with_outlines_and_days(place, tmp_path, capsys):
    out = tmp_path / "found.geojson"
    assert main(["query", place, "--table", "detections", "--flagged", "--out", str(out)]) == 0
    assert capsys.readouterr().err == f"2 detections written to {out}\n"
    collection = json.loads(out.read_text(encoding="utf-8"))
    first = collection["features"][0]
    assert first["properties"]["scene"] == "dyke"
    assert first["properties"]["secondary_date"] == "2018-12-26"
    assert shapely.geometry.shape(first["geometry"]).contains(shapely.Point(15.05, 37.72))


def test_geojson_is_cut_at_the_date_line(place, tmp_path):
    out = tmp_path / "fiji.geojson"
    run(QueryConfig(catalog=place, site="Taveuni", out=str(out)))
    (feature,) = json.loads(out.read_text(encoding="utf-8"))["features"]
    shape = shapely.geometry.shape(feature["geometry"])
    assert shape.geom_type == "MultiPolygon"
    assert shape.bounds == (-180, -17, 180, -16.6)


def test_a_geopackage_and_a_csv_of_all(place, tmp_path):
    result = run(QueryConfig(catalog=place, out=str(tmp_path / "all.gpkg")))
    run(QueryConfig(catalog=place, out=str(tmp_path / "all.csv")))
    names = ["dyke", "later", "fiji", "quiet"]
    assert list(result.found["name"]) == names
    assert list(gpd.read_file(tmp_path / "all.gpkg")["name"]) == names
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as handle:
        assert [row["name"] for row in csv.DictReader(handle)] == names


@pytest.mark.parametrize(
    ("flags", "code", "problem"),
    [
        (["--site", "Ettna"], 2, "did you mean 'Etna'"),
        (["--kind", "mine"], 2, "is no kind of site in .*; it has volcano"),
        (["--from", "2019-01-01", "--to", "2018-01-01"], 2, "--from 2019-01-01 is later than --to 2018-01-01"),
        (["--out", "found.shp"], 2, r"expected a name that ends in \.csv"),
        (["--min-score", "2"], 2, "min_score = 2"),
        (["--out", "nowhere/found.csv"], 1, "cannot be written"),
    ],
)
def test_mistakes_are_explained(place, capsys, flags, code, problem):
    import re

    assert main(["query", place, *flags]) == code
    assert re.search(problem, capsys.readouterr().err)


def test_no_catalogue_is_replaced_by_an_answer(place, tmp_path, capsys):
    own, other = tmp_path / "own.gpkg", tmp_path / "other.gpkg"
    for copy in (own, other):
        shutil.copy(place, copy)
    (tmp_path / "link.gpkg").symlink_to(own)
    (tmp_path / "link.csv").symlink_to(own)
    before = own.read_bytes(), other.read_bytes()
    for out in (own, other, tmp_path / "link.gpkg", tmp_path / "link.csv"):
        assert main(["query", str(own), "--out", str(out)]) == 2
        assert f"--out {out}: is a catalogue, which the answer would replace" in capsys.readouterr().err
    assert (own.read_bytes(), other.read_bytes()) == before
    assert (tmp_path / "link.gpkg").is_symlink()
    # An earlier answer is none.
    for _ in range(2):
        assert main(["query", str(own), "--out", str(tmp_path / "all.gpkg")]) == 0
    (tmp_path / "all.csv").write_text("name\n")
    assert main(["query", str(own), "--out", str(tmp_path / "all.csv")]) == 0


def test_a_missing_catalogue_is_named_and_not_made(tmp_path, capsys):
    assert main(["query", str(tmp_path / "none.gpkg")]) == 1
    assert "none.gpkg: no such catalogue" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
