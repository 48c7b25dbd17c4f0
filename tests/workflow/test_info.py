"""The `info` command tells what a file is and what was assumed, and draws it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from PIL import Image

import product_writers
from fringewatch import cli
from fringewatch.info import Facts, InfoConfig, InfoResult, describe_interferogram, run
from fringewatch.interferogram import make_interferogram
from fringewatch.report import draw_interferogram


@pytest.fixture(scope="module")
def licsar(tmp_path_factory):
    return product_writers.write_licsar(tmp_path_factory.mktemp("licsar"), product_writers.Scene()).path


def facts_of(*arguments, capsys):
    code = cli.main(["info", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_facts_are_those_of_the_scene(licsar, capsys):
    scene = product_writers.Scene()
    code, (facts,) = facts_of(licsar, capsys=capsys)
    assert code == 0
    assert (facts["product"], facts["error"], facts["phase_sign"]) == ("licsar", "", "range increase")
    assert (facts["reference_date"], facts["secondary_date"], facts["days"]) == ("2018-06-01", "2018-06-13", 12)
    assert (facts["rows"], facts["columns"]) == scene.shape
    assert facts["crs"] == "EPSG:4326"
    assert facts["pixel_size"] == pytest.approx([0.001, 0.001])
    assert facts["pixel_size_m"] == pytest.approx([111.06, 83.91], rel=1e-3)
    assert facts["centre"] == pytest.approx([14.1 + 0.0305, 41.2 - 0.022])
    assert facts["bounds"] == pytest.approx([14.1, 41.2 - 0.044, 14.1 + 0.061, 41.2])
    assert facts["wavelength_m"] == pytest.approx(scene.wavelength_m)
    assert facts["fringe_m"] == pytest.approx(scene.wavelength_m / 2)
    assert facts["band"] == "C"
    assert facts["valid_share"] == pytest.approx(scene.valid.mean())
    assert facts["coherence"] == pytest.approx(
        np.nanmean(np.where(scene.coherence > 0, scene.coherence, np.nan)), abs=3e-3
    )
    assert 0.8 < facts["local_coherence"] <= 1
    assert facts["incidence_deg"] == pytest.approx([scene.incidence_deg.min(), scene.incidence_deg.max()], abs=0.01)
    assert facts["azimuth_deg"] == pytest.approx(scene.heading_deg - 90, abs=0.1)
    assert facts["unwrapped_range_rad"] is None
    assert set(facts["companions"]) == {"coherence", "height", "los_east", "los_north", "los_up"}
    assert facts["assumptions"] == []


def test_the_table_says_it_in_words(licsar, capsys):
    assert cli.main(["info", str(licsar)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "product licsar",
        "2018-06-01 to 2018-06-13 (12 days)",
        "44 x 61 pixels of 111.1 x 83.91 m: 4.89 x 5.12 km",
        "EPSG:4326, centre 41.1780° N 14.1305° E",
        "5.547 cm (C band); a fringe is 2.77 cm of LOS",
        "phase grows with range",
        "incidence 36.0° to 39.0°; satellite in the east (103°): descending if it looks right",
        "with it height",
        "assumed nothing",
    ):
        assert part in text, part


def test_what_is_unknown_is_said(tmp_path, capsys):
    path = product_writers.write_geotiff(tmp_path, product_writers.Scene(), form="unwrapped").path
    assert cli.main(["info", str(path), "--wavelength-m", "0.2424"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "24.24 cm (L band)" in text
    assert "sign unknown" in text
    assert "line of sight not known" in text
    assert "fringes); wrapped on reading" in text
    assert "assumed its values run from" in text


def test_a_radar_scene_has_a_size_and_a_place(capsys, tmp_path):
    path = product_writers.write_isce(tmp_path, product_writers.Scene()).path
    code, (facts,) = facts_of(path, capsys=capsys)
    assert code == 0
    assert facts["crs"] == ""
    longitude, latitude = facts["centre"]
    assert (longitude, latitude) == (pytest.approx(14.1, abs=0.1), pytest.approx(41.2, abs=0.1))
    assert cli.main(["info", str(path)]) == 0
    assert "latitude and longitude of each pixel, centre" in " ".join(capsys.readouterr().out.split())


def test_a_size_that_the_user_gave_needs_no_coordinates():
    phase = np.add.outer(np.arange(20), np.arange(30)).astype(np.float32) % 3
    facts = describe_interferogram(make_interferogram(phase, wavelength_m=0.05).assign_attrs(pixel_size_m=20.0))
    assert (facts.pixel_size_m, facts.crs, facts.centre) == ((20.0, 20.0), "", None)


def test_one_bad_file_does_not_stop_the_rest(licsar, tmp_path, capsys):
    (tmp_path / "broken.tif").write_text("text")
    code, (broken, good) = facts_of(tmp_path / "broken.tif", licsar, capsys=capsys)
    assert code == 3
    assert "is plain text, expected a raster" in broken["error"]
    assert broken["rows"] is None
    assert good["error"] == ""
    assert cli.main(["info", str(tmp_path / "broken.tif")]) == 1
    assert "cannot be read:" in capsys.readouterr().out
    assert cli.main(["info", str(licsar), str(tmp_path / "broken.tif")]) == 3
    assert "2 interferograms, 1 of them cannot be read" in capsys.readouterr().out


def test_without_input_the_command_says_what_to_name(capsys):
    assert cli.main(["info"]) == 2
    assert "name files, folders, patterns or addresses" in capsys.readouterr().err


def test_a_preview_has_the_colours_of_the_phase(licsar, tmp_path, capsys):
    code, (facts,) = facts_of(licsar, "--preview", tmp_path / "new" / "p.png", capsys=capsys)
    assert code == 0
    assert facts["preview"] == str(tmp_path / "new" / "p.png")
    with Image.open(facts["preview"]) as picture:
        # Phase and coherence side by side, both about 560 pixels.
        assert picture.width > 1000


def test_previews_of_several_go_to_a_folder(licsar, tmp_path, capsys):
    other = product_writers.write_geotiff(tmp_path / "in", product_writers.Scene()).path
    assert cli.main(["info", str(licsar), str(other), "--preview", str(tmp_path / "p")]) == 0
    assert len(list((tmp_path / "p").glob("*.png"))) == 2
    assert cli.main(["info", str(licsar), str(other), "--preview", str(tmp_path / "p.png")]) == 2
    assert "is one picture, but there are 2 interferograms" in capsys.readouterr().err


def phase_picture(path, seed=0):
    values = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def test_previews_replace_no_input(tmp_path, capsys):
    pictures = [phase_picture(tmp_path / f"{name}.png", seed) for seed, name in enumerate("ab")]
    before = [path.read_bytes() for path in pictures]
    code, found = facts_of(tmp_path, "--preview", tmp_path, capsys=capsys)
    assert code == 1
    for facts, path in zip(found, pictures, strict=True):
        assert f"{path}: is one of the inputs" in facts["error"]
        assert (facts["rows"], facts["preview"]) == (32, "")
    (tmp_path / "link.png").symlink_to(pictures[0])
    for target in (pictures[0], tmp_path / "link.png"):
        assert cli.main(["info", str(pictures[0]), "--preview", str(target)]) == 1
        assert "not drawn" in capsys.readouterr().out
    assert [path.read_bytes() for path in pictures] == before
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_previews_replace_earlier_previews_and_no_other_picture(licsar, tmp_path, capsys, suffix):
    mine, ours = phase_picture(tmp_path / f"mine{suffix}"), tmp_path / f"ours{suffix}"
    before = mine.read_bytes()
    code, (facts,) = facts_of(licsar, "--preview", mine, capsys=capsys)
    assert code == 1
    assert f"mine{suffix}: is a picture that fringewatch did not draw" in facts["error"]
    assert mine.read_bytes() == before
    for _ in range(2):
        assert facts_of(licsar, "--preview", ours, capsys=capsys)[0] == 0


def test_one_preview_that_is_refused_does_not_stop_the_rest(licsar, tmp_path, capsys):
    other = product_writers.write_geotiff(tmp_path / "in", product_writers.Scene()).path
    _, found = facts_of(licsar, other, "--preview", tmp_path / "p", capsys=capsys)
    phase_picture(tmp_path / "p" / f"{found[0]['name']}.png")
    assert cli.main(["info", str(licsar), str(other), "--preview", str(tmp_path / "p")]) == 3
    assert "2 interferograms, 0 of them cannot be read, 1 not drawn" in capsys.readouterr().out


def test_a_flat_half_is_drawn_flat_and_no_data_grey():
    phase = np.full((40, 40), np.nan, np.float32)
    phase[:20, :20], phase[20:, :20] = 0.0, 3.0
    picture = np.asarray(draw_interferogram(make_interferogram(phase, wavelength_m=0.0555)))
    inside = picture[94:654, 84:644]
    colours = [inside[140, 140], inside[420, 140], inside[140, 420], inside[420, 420]]
    assert (colours[0] != colours[1]).any()
    assert (colours[2] == (222, 226, 230)).all()
    assert (colours[3] == (222, 226, 230)).all()


def test_a_lazy_scene_is_described_like_one_in_memory(licsar):
    import fringewatch as fw

    whole, lazy = (describe_interferogram(fw.open_interferogram(licsar, chunks=chunks)) for chunks in (None, 16))
    assert lazy.local_coherence is None
    facts = lazy.model_dump(exclude={"local_coherence"})
    for name, value in whole.model_dump(exclude={"local_coherence"}).items():
        numbers = isinstance(value, float) or (isinstance(value, tuple) and {type(part) for part in value} == {float})
        assert facts[name] == (pytest.approx(value) if numbers else value), name


def test_a_projection_far_from_its_area_has_no_centre(tmp_path):
    path = tmp_path / "20200101_20200113.tif"
    phase = np.linspace(-3, 3, 400, dtype=np.float32).reshape(20, 20)
    grid = {"crs": "EPSG:32633", "transform": rasterio.Affine(80, 0, 1e8, 0, -80, 1e8)}
    with rasterio.open(path, "w", driver="GTiff", height=20, width=20, count=1, dtype="float32", **grid) as sink:
        sink.write(phase, 1)
    (facts,) = run(InfoConfig(inputs=(str(path),))).facts
    assert facts.crs == "EPSG:32633"
    assert facts.centre is None
    assert "EPSG:32633" in InfoResult(facts=(facts,)).describe(width=100)


def test_nothing_read_is_failure():
    assert InfoResult(facts=(Facts(source="a", name="a", error="broken"),)).exit_code == 1
    assert InfoResult(facts=(Facts(source="a", name="a"),)).exit_code == 0
