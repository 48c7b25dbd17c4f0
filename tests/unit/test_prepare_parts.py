"""The parts of preparation: which windows are chosen, what augmentation does, what labels say."""

from __future__ import annotations

import json
from collections import Counter

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fringewatch.conventions import wrap
from fringewatch.errors import ProductError
from fringewatch.fringes import Window
from fringewatch.patches import Patch
from fringewatch.prepare.balance import Augmentation, plan_copies
from fringewatch.prepare.choose import choose
from fringewatch.prepare.finish import finish
from fringewatch.prepare.journal import Record, SceneRow
from fringewatch.prepare.labels import Labels, Scene
from fringewatch.prepare.settings import PrepareConfig

AUGMENTATIONS = st.builds(Augmentation, st.integers(0, 3), st.booleans(), st.sampled_from([-1, 1]), st.integers(1, 254))


def decide(classes, *, strong=100, valid=None, box=(0, 20, 0, 20), **settings):
    row0, row1, col0, col1 = box
    valid_px = (row1 - row0) * (col1 - col0) if valid is None else valid
    window = Window(row0, row1, col0, col1, strong, strong, valid_px)
    defaults = {"min_strong_px": 24, "min_valid": 0.5, "min_overlap": 0.5}
    (choice,) = choose([window], classes, **{**defaults, **settings})
    return choice


def area(*box, label=1, shape=(60, 60)):
    classes = np.zeros(shape, np.uint8)
    classes[box[0] : box[1], box[2] : box[3]] = label
    return classes


@pytest.mark.parametrize(
    ("classes", "settings", "stage", "label", "overlap"),
    [
        (area(5, 10, 5, 10), {}, "candidate", 1, 1.0),  # a small area, whole
        (area(5, 10, 18, 22), {}, "candidate", 1, 0.5),  # half of it
        (area(5, 10, 19, 23), {}, "partial", 0, 0.25),
        (area(0, 60, 0, 60), {}, "candidate", 1, 1.0),  # larger than the window: how full the window is
        (area(0, 60, 14, 60), {}, "partial", 0, 0.3),
        (area(5, 10, 5, 10), {"strong": 23}, "missed", 0, 1.0),
        (area(5, 10, 19, 23), {"strong": 23}, "partial", 0, 0.25),
        (area(5, 10, 30, 40), {}, "candidate", 0, 0.0),
        (area(5, 10, 30, 40), {"strong": 0}, "without_edges", 0, 0.0),
        (area(5, 10, 5, 10), {"valid": 199}, "no_data", 0, 1.0),
        (area(5, 10, 5, 10), {"valid": 199, "min_valid": 0.4}, "candidate", 1, 1.0),
        (area(5, 7, 5, 7), {}, "partial", 0, 0.0),  # a speck
        (area(5, 10, 18, 22), {"min_overlap": 0.6}, "partial", 0, 0.5),
        (area(5, 10, 5, 10, label=3), {}, "candidate", 3, 1.0),
    ],
)
def test_what_becomes_of_a_window(classes, settings, stage, label, overlap):
    choice = decide(classes, **settings)
    assert (choice.stage, choice.label) == (stage, label)
    assert choice.overlap == pytest.approx(overlap)


def test_each_area_counts_by_itself_and_close_parts_are_one():
    # One of three areas is enough.
    apart = area(2, 10, 2, 10) + area(2, 10, 40, 48) + area(40, 48, 2, 10)
    assert decide(apart).overlap == 1.0
    # Two halves, three pixels apart, of which the window holds one.
    close = area(2, 10, 10, 18) + area(2, 10, 21, 29)
    assert decide(close, box=(0, 20, 0, 19)).overlap == pytest.approx(0.5)
    # Two classes: the one of which more is inside.
    assert decide(area(2, 10, 2, 10, label=2) + area(12, 18, 17, 27)).label == 2


def test_beyond_a_small_scene_nothing_is_missing():
    small = area(5, 10, 5, 10, shape=(15, 15))
    assert decide(small, valid=225).stage == "candidate"
    assert decide(small, valid=100).stage == "no_data"


@given(augmentation=AUGMENTATIONS, shape=st.tuples(st.integers(2, 9), st.integers(2, 9)), data=st.data())
def test_augmentation_moves_the_box_with_the_picture(augmentation, shape, data):
    row0, col0 = (data.draw(st.integers(0, side - 1)) for side in shape)
    row1, col1 = (data.draw(st.integers(low + 1, side)) for low, side in zip((row0, col0), shape, strict=True))
    marked = np.full(shape, np.nan, np.float32)
    marked[row0:row1, col0:col1] = 1.0
    moved = np.isfinite(augmentation(marked))
    rows, cols = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
    assert augmentation.box((row0, row1, col0, col1), shape) == (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1)


@given(augmentation=AUGMENTATIONS)
def test_augmentation_keeps_phase_phase(augmentation):
    rng = np.random.default_rng(0)
    phase = wrap(rng.uniform(-np.pi, np.pi, (6, 9)).astype(np.float32))
    out = augmentation(phase)
    assert out.min() > -np.pi
    assert out.max() <= np.float32(np.pi)
    # Taking the offset and the sign away leaves the same values, each once.
    offset = np.float32(2 * np.pi * augmentation.offset_levels / 255)
    back = wrap(np.float32(augmentation.sign) * (out - offset))
    distance = np.abs(np.angle(np.exp(1j * (np.sort(back.ravel())[:, None] - phase.ravel()[None]))))
    assert distance.min(axis=0).max() < 1e-4
    assert out.shape == ((9, 6) if augmentation.quarter_turns % 2 else (6, 9))


def test_an_augmentation_by_hand():
    phase = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    np.testing.assert_allclose(Augmentation(1, False, 1, 0)(phase), [[1, 3], [0, 2]], atol=1e-6)
    np.testing.assert_allclose(Augmentation(0, True, -1, 0)(phase), [[-1, 0], [-3, -2]], atol=1e-6)
    quarter = Augmentation(0, False, 1, 51)(phase)  # a fifth of a cycle
    np.testing.assert_allclose(quarter, wrap((phase + 0.4 * np.pi).astype(np.float32)), atol=1e-6)


@given(counts=st.lists(st.integers(1, 12), min_size=2, max_size=4), seed=st.integers(0, 3))
def test_copies_make_classes_equal_and_are_spread_evenly(tmp_path_factory, counts, seed):
    root = tmp_path_factory.getbasetemp()
    patches = [Patch(root / f"{label}_{i}.png", label) for label, count in enumerate(counts) for i in range(count)]
    copies = plan_copies(patches, seed=seed)
    total = Counter(patch.label for patch in [*patches, *(copy.patch for copy in copies)])
    assert set(total.values()) == {max(counts)}
    made = Counter(copy.patch.path for copy in copies)
    for label in range(len(counts)):
        of_class = [made[patch.path] for patch in patches if patch.label == label]
        assert max(of_class) - min(of_class) <= 1
    assert len({(copy.patch.path, copy.number) for copy in copies}) == len(copies)
    assert copies == plan_copies(patches, seed=seed)


def test_a_set_without_patches_needs_no_copies():
    assert plan_copies([], seed=0) == []


def scene(tmp_path, *, crs_wkt=None, name="a", shape=(10, 20), dates=("2020-01-01", "2020-01-13")):
    from pyproj import CRS

    height, width = shape
    return Scene(
        name=name,
        path=str(tmp_path / f"{name}.tif"),
        shape=shape,
        y=41 - 0.1 * (np.arange(height) + 0.5),
        x=14 + 0.1 * (np.arange(width) + 0.5),
        crs_wkt=CRS("EPSG:4326").to_wkt() if crs_wkt is None else crs_wkt,
        reference_date=dates[0],
        secondary_date=dates[1],
    )


def polygons(path, *boxes, crs="EPSG:4326", **columns):
    geopandas.GeoDataFrame(columns, geometry=[shapely.box(*box) for box in boxes], crs=crs).to_file(path)
    return path


def test_a_polygon_holds_the_pixels_whose_centres_it_holds(tmp_path):
    labels = Labels([polygons(tmp_path / "a.geojson", (14.16, 40.44, 14.66, 40.76))])
    found = labels.of(scene(tmp_path))
    expected = np.zeros((10, 20), np.uint8)
    # Centres of rows lie at 40.95, 40.85, ..., of columns at 14.05, 14.15, ...
    expected[2:6, 2:7] = 1
    np.testing.assert_array_equal(found.classes, expected)
    assert labels.classes == ("none", "deformation")


@pytest.mark.parametrize("west", [179.0, -181.0])
def test_polygons_on_both_sides_of_the_date_line_lie_in_a_scene_across_it(tmp_path, west):
    """The scene goes on beyond 180 (or begins before -180) degrees; polygons are cut there, as GeoJSON wants them."""
    across = scene(tmp_path)._replace(x=west + 0.1 * (np.arange(20) + 0.5))
    path = polygons(tmp_path / "a.geojson", (179.86, 40.44, 180, 40.76), (-180, 40.44, -179.84, 40.76))
    labels = Labels([path])
    expected = np.zeros((10, 20), np.uint8)
    expected[2:6, 9:12] = 1  # centres at 179.95, 180.05 and 180.15
    np.testing.assert_array_equal(labels.of(across).classes, expected)
    assert labels.unused() == []


def test_polygons_know_only_the_scenes_they_reach(tmp_path):
    labels = Labels([polygons(tmp_path / "a.geojson", (50, 50, 51, 51))])
    assert labels.of(scene(tmp_path)) is None
    assert labels.unused() == [f"{tmp_path / 'a.geojson'}: 1 of 1 polygons lie in no scene"]


def test_words_make_classes_and_background_words_are_one(tmp_path):
    path = polygons(
        tmp_path / "a.gpkg", (14, 40, 14.5, 41), (14.5, 40, 15, 41), (15, 40, 15.5, 41), label=["Mine", "quiet", "yes"]
    )
    labels = Labels([path])
    assert labels.classes == ("none", "mine", "deformation")
    np.testing.assert_array_equal(labels.of(scene(tmp_path)).classes[0, :15], [1] * 5 + [0] * 5 + [2] * 5)


def test_a_scene_without_coordinates_fails_where_a_polygon_names_it(tmp_path):
    anywhere = Labels([polygons(tmp_path / "a.geojson", (14, 40, 15, 41))])
    assert anywhere.of(scene(tmp_path, crs_wkt="")) is None
    named = Labels([polygons(tmp_path / "b.geojson", (14, 40, 15, 41), scene=["a*"])])
    with pytest.raises(ProductError, match=r"a\.tif: has no coordinates.*b\.geojson cannot be laid over it; georef"):
        named.of(scene(tmp_path, crs_wkt=""))


@pytest.mark.parametrize(
    ("start", "end", "known"),
    [
        ("2020-01-05", "2020-01-09", True),
        ("2019-01-01", "2020-01-01", False),
        ("2019-01-01", "2020-01-02", True),
        ("2020-01-13", "2021-01-01", False),
        ("2020-01-12", "2021-01-01", True),
        ("2020-01-13", None, False),
        (None, "2020-01-01", False),
    ],
)
def test_a_polygon_concerns_the_pairs_of_its_time_whichever_date_comes_first(tmp_path, start, end, known):
    labels = Labels([polygons(tmp_path / "a.geojson", (14, 40, 15, 41), start=[start], end=[end])])
    pair = ("2020-01-01", "2020-01-13")
    for dates in (pair, pair[::-1]):
        assert (labels.of(scene(tmp_path, dates=dates)) is not None) is known
    # Where dates are unknown, nothing speaks against it.
    assert labels.of(scene(tmp_path, dates=("", ""))) is not None


def test_polygons_without_coordinate_system_or_with_odd_dates(tmp_path):
    (tmp_path / "plain").mkdir()
    geopandas.GeoDataFrame({"a": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs="EPSG:4326").to_file(
        tmp_path / "plain" / "a.shp"
    )
    (tmp_path / "plain" / "a.prj").unlink()
    with pytest.raises(ProductError, match="names no coordinate system; set it"):
        Labels([tmp_path / "plain" / "a.shp"])
    with pytest.raises(ProductError, match="the column 'start' holds 'summer', expected dates as"):
        Labels([polygons(tmp_path / "b.geojson", (0, 0, 1, 1), start=["summer"])])


def test_a_box_beyond_the_scene_is_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("file,label,row0,row1,col0,col1\na.tif,1,0,11,0,5\n")
    with pytest.raises(ProductError, match=r"t\.csv, line 2: box rows 0 to 11, .* reaches beyond .*10 x 20 pixels"):
        Labels([table]).of(scene(tmp_path))
    table.write_text("file,label\na.tif,\n")
    with pytest.raises(ProductError, match="line 2: file or label is empty"):
        Labels([table])


def test_later_labels_count_where_several_meet(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("file,label\na.tif,deformation\n")
    mask = np.zeros((10, 20), np.uint8)
    mask[2:4] = 1
    np.save(tmp_path / "a_mask.npy", mask)
    cut = polygons(tmp_path / "a.geojson", (14, 40, 15, 41), label=["none"])
    found = Labels([table, cut, tmp_path / "a_mask.npy"]).of(scene(tmp_path)).classes
    assert found[:, 10:].all()
    np.testing.assert_array_equal(np.flatnonzero(found[:, 0]), [2, 3])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"nothing", "cannot be read as a mask"), (b"\x93NUMPY", "cannot be read as a mask"), (b"", "cannot be read")],
)
def test_masks_that_are_none(tmp_path, content, words):
    for suffix in ("npy", "npz"):
        path = tmp_path / f"a_mask.{suffix}"
        path.write_bytes(content)
        with pytest.raises(ProductError, match=rf"a_mask\.{suffix}: {words}"):
            Labels([path]).of(scene(tmp_path))
        path.unlink()


def test_an_archive_of_several_arrays_needs_one_called_mask(tmp_path):
    np.savez(tmp_path / "a.npz", first=np.ones((10, 20)), other=np.zeros(3))
    with pytest.raises(ProductError, match=r"cannot be read as a mask .*mask"):
        Labels([tmp_path / "a.npz"]).of(scene(tmp_path))
    np.savez(tmp_path / "a.npz", first=np.array([[np.nan, 2.0] * 10] * 10))
    assert Labels([tmp_path / "a.npz"]).of(scene(tmp_path)).classes.tolist() == [[0, 1] * 10] * 10


TROUGH = np.zeros((10, 20), bool)
TROUGH[1:4, 2:9] = True
NORTH_UP = Affine(0.1, 0, 14, 0, -0.1, 41)


def write_mask(path, mask, **profile):
    bands = np.atleast_3d(mask.T).T.astype(np.uint8)
    count, height, width = bands.shape
    georeferenced = {"crs": "EPSG:4326", "transform": NORTH_UP} | profile
    with rasterio.open(path, "w", "GTiff", width, height, count, dtype="uint8", **georeferenced) as target:
        target.write(bands)
    return path


def picture(path, values, mode=None):
    Image.fromarray(np.asarray(values, np.uint8)).convert(mode).save(path)
    return path


def laid(tmp_path, path, **of_scene):
    return Labels([path]).of(scene(tmp_path, **of_scene)).classes.astype(bool)


@pytest.mark.parametrize("rows_run", [1, -1])
@pytest.mark.parametrize("columns_run", [1, -1])
def test_masks_lie_where_their_coordinates_say(tmp_path, rows_run, columns_run):
    transform = Affine(
        0.1 * columns_run, 0, 14 if columns_run > 0 else 16, 0, -0.1 * rows_run, 41 if rows_run > 0 else 40
    )
    path = write_mask(tmp_path / "a.tif", TROUGH[::rows_run, ::columns_run], transform=transform)
    np.testing.assert_array_equal(laid(tmp_path, path), TROUGH)
    # And on scenes whose rows and columns run the other way.
    plain = scene(tmp_path)
    turned = plain._replace(y=plain.y[::-1], x=plain.x[::-1])
    np.testing.assert_array_equal(Labels([path]).of(turned).classes.astype(bool), TROUGH[::-1, ::-1])


def test_a_hair_between_grids_is_none_and_what_has_no_grid_is_laid_by_index(tmp_path):
    near = write_mask(tmp_path / "a.tif", TROUGH, transform=Affine(0.1, 0, 14.005, 0, -0.1, 40.995))
    np.testing.assert_array_equal(laid(tmp_path, near), TROUGH)
    anywhere = write_mask(tmp_path / "a.tif", TROUGH, crs=None, transform=Affine(30, 0, 5e5, 0, 30, 5e6))
    np.testing.assert_array_equal(laid(tmp_path, anywhere), TROUGH)
    south_up = write_mask(tmp_path / "a.tif", TROUGH, transform=Affine(0.1, 0, 14, 0, 0.1, 40))
    np.testing.assert_array_equal(laid(tmp_path, south_up, crs_wkt=""), TROUGH)


@pytest.mark.parametrize(
    ("georeference", "told"),
    [
        ({"transform": Affine(0.1, 0, 14.1, 0, -0.1, 41)}, "EPSG:4326, corner 14.1, 41, pixels of 0.1, -0.1"),
        ({"transform": Affine(0.1, 0, 14, 0, -0.1, 41.05)}, "EPSG:4326, corner 14, 41.05, pixels of 0.1, -0.1"),
        ({"transform": Affine(0.11, 0, 14, 0, -0.1, 41)}, "EPSG:4326, corner 14, 41, pixels of 0.11, -0.1"),
        ({"crs": "EPSG:32633"}, "EPSG:32633, corner 14, 41, pixels of 0.1, -0.1"),
    ],
)
def test_a_mask_on_another_grid_is_refused(tmp_path, georeference, told):
    path = write_mask(tmp_path / "a.tif", TROUGH, **georeference)
    with pytest.raises(ProductError) as caught:
        laid(tmp_path, path)
    assert str(caught.value) == (
        f"{path}: mask on another grid ({told}), expected that of {tmp_path / 'a.tif'} (EPSG:4326, corner 14, 41, "
        f"pixels of 0.1, -0.1); bring it there: `rio warp {path} out.tif --like {tmp_path / 'a.tif'} --resampling "
        "nearest`; or, if its pixels are the scene's all the same, save them as .npy, which has no grid"
    )


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_mask_in_colour_marks_what_is_not_black(tmp_path, channel):
    colours = np.zeros((10, 20, 4), np.uint8)
    colours[TROUGH, channel] = 200
    colours[..., 3] = 255
    np.testing.assert_array_equal(laid(tmp_path, picture(tmp_path / "a.png", colours[..., :3])), TROUGH)
    np.testing.assert_array_equal(laid(tmp_path, picture(tmp_path / "a.png", colours)), TROUGH)
    # What is transparent has no colour.
    colours[2, 2:9, 3] = 0
    np.testing.assert_array_equal(laid(tmp_path, picture(tmp_path / "a.png", colours)), TROUGH & (colours[..., 3] > 0))


def test_masks_of_grey_with_alpha_and_of_one_bit(tmp_path):
    # White all over, and only the trough is to be seen.
    grey = np.stack([np.full(TROUGH.shape, 255), TROUGH * 128], axis=-1)
    np.testing.assert_array_equal(laid(tmp_path, picture(tmp_path / "a.png", grey)), TROUGH)
    np.testing.assert_array_equal(laid(tmp_path, picture(tmp_path / "a.png", TROUGH * 255, "1")), TROUGH)
    np.testing.assert_array_equal(laid(tmp_path, picture(tmp_path / "a.png", TROUGH * 255)), TROUGH)


@pytest.mark.parametrize("marked", [0, 1])
def test_a_palette_is_read_by_its_colours(tmp_path, marked):
    image = Image.fromarray(np.where(TROUGH, marked, 1 - marked).astype(np.uint8), mode="P")
    colours = {marked: (255, 255, 255), 1 - marked: (0, 0, 0)}
    image.putpalette([*colours[0], *colours[1]])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(laid(tmp_path, tmp_path / "a.png"), TROUGH)
    image.save(tmp_path / "a.png", transparency=marked)
    assert not laid(tmp_path, tmp_path / "a.png").any()


def write_classes(path, values, colormap):
    """Write values with colours to look at."""
    write_mask(path, values)
    with rasterio.open(path, "r+") as target:
        target.write_colormap(1, {0: (0, 0, 0), 1: (0, 0, 0)} | colormap)
    return path


def test_colours_of_values_must_not_contradict_them(tmp_path):
    path = write_classes(tmp_path / "a.tif", TROUGH * 3, {3: (255, 0, 0)})
    np.testing.assert_array_equal(laid(tmp_path, path), TROUGH)
    write_classes(path, TROUGH * 3, {0: (255, 255, 255), 3: (255, 0, 0)})
    with pytest.raises(ProductError, match=r"a\.tif: has colours that contradict its values: .* -expand rgba"):
        laid(tmp_path, path)


def test_a_mask_of_several_bands_without_colours_is_refused(tmp_path):
    path = write_mask(tmp_path / "a.tif", np.stack([TROUGH, ~TROUGH]))
    words = r"a\.tif: has bands of gray, undefined, so that it is unclear .* expected a single band, .*; keep one"
    with pytest.raises(ProductError, match=words):
        laid(tmp_path, path)


def warnings_of(tmp_path, *patches, split_by="site"):
    """What is said of patches of (label, site, scene), all without a picture."""
    rows = tuple(
        {"file": f"{number}.png", "label": label, "site": site, "scene_group": group, **more}
        for number, (label, site, group, *rest) in enumerate(patches)
        for more in [dict(rest)]
    )
    config = PrepareConfig(out=tmp_path, balance=False, split_by=split_by)
    record = Record(SceneRow(file="a.tif", name="a"), rows, "")
    return finish(config, [record], ("none", "mine", "volcano")).warnings


def test_what_validation_lacks_is_said_as_it_is(tmp_path):
    (one,) = warnings_of(tmp_path, ("mine", "A", "a"), ("none", "A", "b"))
    flattery = ", or take --split-by scene, which flatters validation"
    assert one == (f"nothing is left for validation: all patches are of one place (A); add scenes of another{flattery}")
    three = (("mine", "A", "a"), ("volcano", "B", "b"), ("none", "C", "c"))
    start = "nothing is left for validation: 'mine', 'volcano' and 'none' are each of one"
    (apart,) = warnings_of(tmp_path, *three)
    assert apart == f"{start} place alone; add scenes of other places that show them{flattery}"
    (by_scene,) = warnings_of(tmp_path, *three, split_by="scene")
    assert by_scene == f"{start} scene alone; add other scenes that show them"
    assert warnings_of(tmp_path, *three, ("mine", "D", "d")) == [
        "no 'volcano' in validation: all of it is of one place",
        "no 'none' in validation: all of it is of one place",
    ]
    assert warnings_of(tmp_path, *((*patch, ("split", "train")) for patch in three)) == [
        "nothing is left for validation: all pictures lie below train/; move those of some places to validation/"
    ]
    train, held = ("split", "train"), ("split", "validation")
    given = (("mine", "A", "a", train), ("mine", "B", "b", train), ("none", "C", "c", held))
    assert warnings_of(tmp_path, *given) == [
        "no 'mine' in validation; add scenes of other places that show it",
        "no 'none' in train: all of it is of one place",
    ]
    # Two places of `none`, of which each is needed for training.
    shared = (("mine", "A", "a"), ("none", "A", "a"), ("volcano", "B", "b"), ("none", "B", "b"))
    assert warnings_of(tmp_path, *shared) == [
        "nothing is left for validation: 'mine' and 'volcano' are each of one place alone; add scenes of other places "
        "that show them" + flattery
    ]


@pytest.mark.parametrize(
    ("said", "date"),
    [
        (20200601, "2020-06-01"),
        (20200601.0, "2020-06-01"),
        ("20200601", "2020-06-01"),
        ("2020-06-01", "2020-06-01"),
        ("2020-06-01T12:00:00Z", "2020-06-01"),
        (None, ""),
        (2021, None),
        ("01/06/2020", None),
        (1_590_969_600_000_000_000, None),
    ],
)
def test_dates_of_polygons_have_one_meaning(tmp_path, said, date):
    shape = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    feature = {"type": "Feature", "properties": {"start": said, "a": 1}, "geometry": shape}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    if date is None:
        with pytest.raises(ProductError, match="expected dates as YYYY-MM-DD or YYYYMMDD"):
            Labels([path])
    else:
        assert Labels([path])._sources[0]._columns["start"] == [date]


def test_labels_that_may_be_of_several_scenes_are_refused(tmp_path):
    scenes = [(f"{frame}_20200101_20200113", f"/data/{frame}/20200101_20200113.tif") for frame in "AB"]
    for folder, names in (("both", ("A/20200101_20200113", "B/20200101_20200113")), ("one", ("20200101_20200113",))):
        for name in names:
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    with pytest.raises(ProductError, match="are named after the same scene"):
        Labels([tmp_path / "both"])
    with pytest.raises(ProductError, match=r"20200101_20200113 may be /data/A/.*tif or /data/B/"):
        Labels([tmp_path / "one"]).expect(scenes)
    Labels([tmp_path / "one"]).expect(scenes[:1])
    (tmp_path / "one" / "20200101_20200113.png").rename(tmp_path / "one" / "A_20200101_20200113.png")
    Labels([tmp_path / "one"]).expect(scenes)
    table = tmp_path / "one.csv"
    table.write_text("file,label\n20200101_20200113.tif,1\n")
    with pytest.raises(ProductError, match="call it by its path, or as"):
        Labels([table]).expect(scenes)
    table.write_text("file,label\n/data/A/20200101_20200113.tif,1\nB_20200101_20200113,0\n")
    Labels([table]).expect(scenes)
