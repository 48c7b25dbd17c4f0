"""Sites: the list that comes along, the user's own, names, and the nearest one on the ellipsoid."""

from __future__ import annotations

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import Geod

from fringewatch.errors import ConfigError
from fringewatch.interferogram import footprint, make_interferogram
from fringewatch.sites import NEAR_KM, Sites, tie_to_sites
from fringewatch.sites.nearest import tie

ETNA = (14.999, 37.748)


def listing(**places):
    table = gpd.GeoDataFrame(
        {"name": list(places), "number": "", "kind": "site"}, geometry=list(places.values()), crs="EPSG:4326"
    )
    return Sites(table)


def test_volcanoes_are_where_they_are():
    volcanoes = Sites.volcanoes().table
    assert len(volcanoes) == 1250
    assert volcanoes["number"].is_unique
    assert set(volcanoes["kind"]) == {"volcano"}
    known = {"211060": ETNA, "353050": (-91.17, -0.83), "372070": (-19.7, 63.98), "233020": (55.708, -21.244)}
    for number, (longitude, latitude) in known.items():
        point = volcanoes.geometry[volcanoes["number"] == number].item()
        assert (point.x, point.y) == pytest.approx((longitude, latitude), abs=0.15)


@pytest.mark.parametrize("wanted", ["Etna", "etna", " ETNA", "211060"])
def test_a_site_is_found_by_name_or_number(wanted):
    volcanoes = Sites.volcanoes()
    assert list(volcanoes.table["number"].iloc[volcanoes.find(wanted)]) == ["211060"]


def test_order_of_words_and_accents_do_not_matter():
    volcanoes = Sites.volcanoes()
    assert volcanoes.table["name"].iloc[volcanoes.find("piton de la FOURNAISE")[0]] == "Fournaise, Piton de la"
    assert volcanoes.table["name"].iloc[volcanoes.find("Cabalian")[0]] == "Cabalían"


def test_an_unknown_name_gets_a_hint_and_an_ambiguous_one_the_numbers():
    with pytest.raises(ConfigError, match="did you mean 'Etna'"):
        Sites.volcanoes().find("Ethna")
    with pytest.raises(ConfigError, match=r"2 sites have this name.*211060, 372070"):
        Sites(Sites.volcanoes().table.query("number in ['211060', '372070']").assign(name="twin")).find("twin")


@pytest.mark.parametrize(
    "text",
    [
        "name,latitude,longitude,number,kind\nWieliczka,49.983,20.055,7,mine\n",
        "Kind;Longitude;Latitude;Volcano Name;Volcano Number\nmine;20.055;49.983;Wieliczka;7\n",
        "\ufeffmine name\tlat\tlon\tid\tkind\nWieliczka\t49.983\t20.055\t7\tmine\n",
        "name;latitude;longitude;number;kind\nWieliczka;49,983; 20,055;7;mine\n",
        'name,latitude,longitude,number,kind\nWieliczka,"49,983","20,055",7,mine\n',
    ],
    ids=[
        "csv",
        "semicolons and the database's names",
        "tabs and a byte order mark",
        "decimal commas",
        "decimal commas in quotes",
    ],
)
def test_tables_of_sites_are_read(tmp_path, text):
    path = tmp_path / "mines.csv"
    path.write_text(text, encoding="utf-8")
    (row,) = Sites.read(path).table.itertuples(index=False)
    assert (row.name, row.number, row.kind) == ("Wieliczka", "7", "mine")
    assert (row.geometry.x, row.geometry.y) == (20.055, 49.983)


def write_sites(path, *rows, head="name,latitude,longitude"):
    path.write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")
    return path


def places(sites, name):
    return [shapely.get_coordinates(shape).tolist() for shape in sites.table.geometry[sites.table["name"] == name]]


def test_rows_of_one_name_are_parts_of_one_site(tmp_path, capsys):
    path = write_sites(tmp_path / "own.csv", "Pit,37.8,14.95", "Mine,51.5,7.1", "Pit,37.81,14.96", "Pit,37.8,14.95")
    for _ in range(2):
        sites = Sites.load([path])
        assert list(sites.table["name"][:3]) == ["Pit", "Mine", sites.table["name"][2]]
        assert places(sites, "Pit") == [[[14.95, 37.8], [14.96, 37.81]]]
        assert f"{path}: rows of one name are taken for parts of one site: Pit; numbers" in capsys.readouterr().err
    (row,) = sites.find("Pit")
    ties = tie([shapely.Point(14.96, 37.81)], sites)
    assert (ties.site[0], ties.distance_km[0]) == (row, 0)


def test_a_second_list_adds_to_a_site_of_the_first(tmp_path, capsys):
    one = write_sites(tmp_path / "one.csv", "Pit,37.8,14.95")
    two = write_sites(tmp_path / "two.csv", "Pit,37.81,14.96", "Mine,51.5,7.1")
    assert places(Sites.load([one, two]), "Pit") == [[[14.95, 37.8], [14.96, 37.81]]]
    assert f"{one}, {two}: rows of one name" in capsys.readouterr().err
    assert places(Sites.load([one, one]), "Pit") == [[[14.95, 37.8]]]
    assert capsys.readouterr().err == ""


def test_numbers_and_kinds_tell_rows_of_one_name_apart(tmp_path, capsys):
    rows = ("Pit,37.8,14.95,1,mine", "Pit,37.81,14.96,2,mine", "Pit,37.81,14.96,2,dump")
    path = write_sites(tmp_path / "own.csv", *rows, head="name,latitude,longitude,number,kind")
    assert len(Sites.load([path])) == 1253
    assert capsys.readouterr().err == ""


def test_places_far_apart_are_no_parts_of_one_site(tmp_path):
    path = write_sites(tmp_path / "own.csv", "Pit,37.8,14.95", "Pit,37.99,14.95", "Pit,38.18,14.95")
    assert len(Sites.read(path)) == 1
    path = write_sites(tmp_path / "own.csv", "Pit,37.8,14.95", "Pit,38.18,14.95")
    with pytest.raises(ConfigError, match=r"own\.csv: site 'Pit' has places more than 25 km apart; give each a number"):
        Sites.read(path)


def test_outlines_of_one_name_are_kept_all(tmp_path):
    shapes = [shapely.box(18.5, 50.0, 18.6, 50.1), shapely.box(18.7, 50.0, 18.8, 50.1)]
    for more, kind in (([], "MultiPolygon"), ([shapely.Point(18.65, 50)], "GeometryCollection")):
        parts = shapes + more
        table = gpd.GeoDataFrame({"name": ["Jas-Mos"] * len(parts)}, geometry=parts, crs="EPSG:4326")
        table.to_file(tmp_path / "mines.geojson", driver="GeoJSON")
        (shape,) = Sites.read(tmp_path / "mines.geojson").table.geometry
        assert (shape.geom_type, list(shape.geoms)) == (kind, parts)


@pytest.mark.parametrize("renamed", ["Etna", "Etna (Mongibello)"])
def test_a_newer_list_of_volcanoes_takes_the_place_of_the_built_in_entries(tmp_path, renamed):
    path = tmp_path / "GVP_Volcano_List.csv"
    path.write_text(f"Volcano Number,Volcano Name,Latitude,Longitude\n211060,{renamed},37.7,15.0\n", encoding="utf-8")
    sites = Sites.load([path])
    assert len(sites) == 1250
    assert set(sites.table["kind"]) == {"volcano"}
    (row,) = sites.find(renamed)
    assert (sites.table["number"][row], sites.table.geometry[row].y) == ("211060", 37.7)
    assert len(Sites.volcanoes()) == 1250


def test_sites_that_share_name_and_number_are_told_by_their_kinds(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("name,number,latitude,longitude,kind\nEtna,211060,37.7,15,mine\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"is that of 2 sites: Etna 211060 \(mine\), Etna 211060 \(volcano\);"):
        Sites.load([path]).find("Etna")


def test_outlines_of_a_geojson_are_kept(tmp_path):
    outline = shapely.box(18.5, 50.0, 18.6, 50.1)
    feature = {
        "type": "Feature",
        "properties": {"name": "Jas-Mos", "kind": "mine"},
        "geometry": outline.__geo_interface__,
    }
    path = tmp_path / "mines.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    sites = Sites.load([path])
    assert len(sites) == 1251
    assert sites.table.geometry[0].equals(outline)
    inside = tie([shapely.Point(18.55, 50.05)], sites)
    assert (inside.site[0], inside.distance_km[0]) == (0, 0)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "name,latitude\nx,1\n", "no columns latitude and longitude"),
        ("a.csv", "place,latitude,longitude\nx,1,2\n", "no column of names"),
        ("a.csv", "name,latitude,longitude\nx,1,2\ny,91,2\n", r"site 2 \(y\).*no place on Earth"),
        ("a.csv", "name,latitude,longitude\nx,north,2\n", r"site 1 \(x\)"),
        ("a.csv", "name,latitude,longitude\nx,37,8,14,95\n", "more fields than the header; .* decimal comma in quotes"),
        ("a.csv", "name,latitude,longitude\n", "holds no sites"),
        ("a.geojson", "{}", "cannot be read as sites"),
        ("a.csv", "", "cannot be read as a table"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path, name, text, problem):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=problem):
        Sites.read(path)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.csv: cannot be read"):
        Sites.read(tmp_path / "nowhere.csv")


def test_distances_are_those_of_the_ellipsoid():
    """One degree along the meridian from the equator is 110.574 km, along the equator 111.320 km."""
    sites = listing(origin=shapely.Point(0, 0))
    ties = tie([shapely.Point(0, 1), shapely.Point(1, 0), shapely.box(1, -1, 2, 1)], sites, near_km=0)
    np.testing.assert_allclose(ties.distance_km, [110.574, 111.320, 111.320], atol=0.001)


def test_the_nearest_point_of_a_high_latitude_box_is_found():
    """At 70 degrees a degree of longitude is a third of one of latitude: planar degrees would pick the other site."""
    box = shapely.box(10, 70, 11, 71)
    sites = listing(east=shapely.Point(12, 70.5), north=shapely.Point(10.5, 71.8))
    ties = tie([box], sites, near_km=0)
    assert sites.table["name"][ties.site[0]] == "east"
    _, _, metres = Geod(ellps="WGS84").inv(11, 70.5, 12, 70.5)
    assert ties.distance_km[0] == pytest.approx(metres / 1000, rel=0.002)


@pytest.mark.parametrize("shift", [0, 360, -360])
def test_the_date_line_is_no_border(shift):
    sites = listing(fiji=shapely.Point(-179.95, -17), far=shapely.Point(170, -17))
    box = shapely.box(179.8 + shift, -17.1, 180.0 + shift, -16.9)
    ties = tie([box], sites, near_km=0)
    assert ties.site[0] == 0
    assert ties.distance_km[0] == pytest.approx(0.05 * 111.32 * np.cos(np.radians(17)), rel=0.003)


def test_the_nearest_of_many_is_that_of_brute_force():
    rng = np.random.default_rng(3)
    sites = Sites.volcanoes()
    places = np.column_stack([rng.uniform(-180, 180, 200), np.degrees(np.arcsin(rng.uniform(-0.99, 0.99, 200)))])
    ties = tie(shapely.points(places), sites, near_km=0)
    assert list(ties.outline) == list(range(200))
    at = shapely.get_coordinates(sites.table.geometry.to_numpy())
    for (longitude, latitude), site, distance in zip(places, ties.site, ties.distance_km, strict=True):
        _, _, metres = Geod(ellps="WGS84").inv(np.full(1250, longitude), np.full(1250, latitude), *at.T)
        assert distance == pytest.approx(metres.min() / 1000, rel=1e-6)
        assert site == metres.argmin()


def test_a_frame_is_tied_to_all_sites_in_it_and_first_to_the_one_in_its_middle():
    sites = Sites.volcanoes()
    frame = shapely.box(13.5, 37.0, 16.0, 39.2)
    ties = tie([frame], sites)
    names = sites.table["name"].to_numpy()
    inside = {names[site] for site, km in zip(ties.site, ties.distance_km, strict=True) if km == 0}
    assert inside == {"Etna", "Vulcano", "Lipari", "Panarea", "Stromboli"}
    assert names[ties.site[ties.first][0]] == "Vulcano"
    assert (ties.distance_km[~ties.first] <= NEAR_KM).all()


def test_equal_outlines_are_tied_alike_in_any_order():
    sites = Sites.volcanoes()
    one, other = shapely.Point(15, 37.8), shapely.box(-91.4, -1, -91, -0.6)
    ties = tie([one, other, None, one, shapely.Polygon(), other], sites)
    for first, second in ((0, 3), (1, 5)):
        assert list(ties.site[ties.outline == first]) == list(ties.site[ties.outline == second])
        assert (ties.outline == first).any()
    assert not np.isin(ties.outline, (2, 4)).any()


def test_detections_get_the_columns_in_any_crs():
    point = gpd.GeoSeries([shapely.Point(ETNA)], crs="EPSG:4326").to_crs("EPSG:32633")
    table = gpd.GeoDataFrame({"scene": ["a"]}, geometry=point.buffer(500))
    (row,) = tie_to_sites(table, Sites.volcanoes()).itertuples(index=False)
    assert (row.site, row.site_number, row.site_kind, row.site_distance_km) == ("Etna", "211060", "volcano", 0)


def test_detections_in_pixels_are_tied_to_nothing():
    table = gpd.GeoDataFrame({"scene": ["a"]}, geometry=[shapely.box(0, 0, 5, 5)])
    (row,) = tie_to_sites(table, Sites.volcanoes()).itertuples(index=False)
    assert row.site == ""
    assert np.isnan(row.site_distance_km)
    assert list(tie_to_sites(table[:0], Sites.volcanoes())["site"]) == []


def scene(crs=None, transform=None, **more):
    phase = np.random.default_rng(0).uniform(-3, 3, (20, 30))
    return make_interferogram(phase, wavelength_m=0.0555, crs=crs, transform=transform, **more)


def test_a_footprint_in_degrees_is_the_grids_edge():
    from affine import Affine

    outline = footprint(scene("EPSG:4326", Affine(0.001, 0, 14, 0, -0.001, 41)))
    assert outline.normalize().equals_exact(shapely.box(14, 40.98, 14.03, 41).normalize(), 1e-9)


def test_a_footprint_in_metres_has_the_grids_area():
    from affine import Affine

    outline = footprint(scene("EPSG:32633", Affine(80, 0, 500_000, 0, -80, 4e6)))
    area, _ = Geod(ellps="WGS84").geometry_area_perimeter(outline)
    # On the central meridian the scale of UTM is 0.9996.
    assert abs(area) == pytest.approx(20 * 80 * 30 * 80 / 0.9996**2, rel=1e-4)


def test_a_footprint_across_the_date_line_stays_in_one_piece():
    from affine import Affine

    outline = footprint(scene("EPSG:32660", Affine(3000, 0, 690_000, 0, -3000, 5e6)))
    assert outline.bounds[0] < 180 < outline.bounds[2] < 181


def test_a_footprint_in_radar_geometry_runs_through_the_lookup_tables_corners():
    rows, columns = np.mgrid[:20, :30]
    lookup = scene(latitude=41 - rows * 0.01 + columns * 0.001, longitude=14 + columns * 0.01)
    expected = shapely.Polygon([(14, 41), (14.29, 41.029), (14.29, 40.839), (14, 40.81)])
    assert footprint(lookup).equals_exact(expected, 1e-6)
    assert footprint(scene()) is None
