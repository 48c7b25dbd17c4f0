"""What lies beside a phase, read later and in part: the same as if it had been read at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rasterio
from affine import Affine

import fringewatch as fw
import product_writers as writers
from fringewatch.products import companions_of, discover, raster, with_what_lies_beside
from fringewatch.products.licsar import _kept_geometry
from fringewatch.products.reference import ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

ROWS = slice(11, 27)


def later(path: Path, **options: Any) -> xr.Dataset:
    """Open a phase, and then what lies beside it."""
    (reference,) = discover([path])
    return with_what_lies_beside(
        fw.open_interferogram(reference, companions=False), reference, ReadOptions(), **options
    )


@pytest.mark.parametrize("name", sorted(writers.WRITERS))
def test_what_is_read_later_is_what_would_have_been_read_at_once(tmp_path: Path, name: str) -> None:
    path = writers.WRITERS[name](tmp_path, writers.Scene()).path
    whole = fw.open_interferogram(path)
    assert later(path).identical(whole)
    part = later(path, rows=ROWS)
    assert set(part.variables) == set(whole.variables)
    assert part.attrs == whole.attrs
    for variable, values in whole.variables.items():
        assert part[variable].encoding == whole[variable].encoding
        if values.dims == ("y", "x"):
            np.testing.assert_array_equal(part[variable][ROWS], values[ROWS], err_msg=str(variable))
    assert part["phase"].equals(whole["phase"])


def shifted(path: Path, *, row: int, col: int) -> None:
    """Cut a raster, so that it begins so many pixels further down and to the right; beyond it there is nothing."""
    with rasterio.open(path) as source:
        values, profile = source.read(1), source.profile
    values = values[max(row, 0) : row + 30, max(col, 0) :]
    grid = profile["transform"] * Affine.translation(max(col, 0), max(row, 0))
    profile |= {"height": values.shape[0], "width": values.shape[1], "transform": grid}
    with rasterio.open(path, "w", **profile) as sink:
        sink.write(values, 1)


@pytest.mark.parametrize("row", [0, 5, 20, 30])
def test_companions_that_cover_a_part_of_the_scene(tmp_path: Path, row: int) -> None:
    path = writers.WRITERS["licsar"](tmp_path, writers.Scene()).path
    for companion in companions_of(next(discover([path]))):
        shifted(companion, row=row, col=3)
    whole, part = fw.open_interferogram(path), later(path, rows=ROWS)
    assert np.isnan(whole["coherence"][:row]).all()
    for variable in ("coherence", "height", "los_up"):
        np.testing.assert_array_equal(part[variable][ROWS], whole[variable][ROWS])


def test_what_is_missing_or_does_not_fit_is_said_in_the_same_words(tmp_path: Path) -> None:
    path = writers.WRITERS["licsar"](tmp_path, writers.Scene()).path
    coherence, *geometry = companions_of(next(discover([path])))
    shifted_grid = Affine(0.001, 0, 14.1004, 0, -0.001, 41.2)
    writers.tif(tmp_path / "other.tif", np.ones((44, 61), np.uint8), transform=shifted_grid).replace(coherence)
    for companion in geometry[:2]:
        with open(companion, "r+b") as file:  # noqa: PTH123  (a path as text)
            file.truncate(300)
    expected = fw.open_interferogram(path).attrs["assumptions"]
    assert len(expected) == 3
    assert later(path, rows=ROWS).attrs["assumptions"] == expected
    for companion in geometry[2:]:
        (tmp_path / companion).unlink()
    expected = fw.open_interferogram(path).attrs["assumptions"]
    assert "not found beside the interferogram" in expected[-1]
    assert later(path, rows=ROWS).attrs["assumptions"] == expected


def test_the_geometry_of_a_frame_is_read_once_for_its_pairs_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept_geometry.cache_clear()
    first = writers.WRITERS["licsar"](tmp_path, writers.Scene()).path
    second = first.parents[1] / "20180613_20180625" / "20180613_20180625.geo.diff_pha.tif"
    second.parent.mkdir()
    second.write_bytes(first.read_bytes())
    heights = next((first.parents[2] / "metadata").glob("*.hgt.tif"))
    opened: list[str] = []
    original = raster.inspect

    def inspect(path: str, **options: Any) -> raster.RasterInfo:
        opened.append(path)
        return original(path, **options)

    monkeypatch.setattr(raster, "inspect", inspect)
    monkeypatch.setattr(
        "fringewatch.products.companions.Companions.read.__kwdefaults__", {"band": 1, "inspect": inspect}
    )
    one, other = later(first, rows=ROWS), later(second, rows=ROWS)
    assert opened.count(str(heights)) == 1
    assert one["height"].equals(other["height"])
    # They share it, and so neither may write to it.
    with pytest.raises(ValueError, match="read-only"):
        one["height"].values[0, 0] = 1
    writers.tif(heights, np.full((44, 61), 77, np.float32))
    assert (later(first, rows=ROWS)["height"] == 77).all()
    # One's own interferogram is one's own.
    mine = fw.open_interferogram(first)
    mine["height"].values[:] = 1
    assert (fw.open_interferogram(first)["height"] == 77).all()


def test_the_pixel_size_that_was_given_stays(tmp_path: Path) -> None:
    path = writers.WRITERS["licsar"](tmp_path, writers.Scene()).path
    (reference,) = discover([path])
    bare = fw.open_interferogram(reference, companions=False, pixel_size_m=12.5)
    assert with_what_lies_beside(bare, reference, ReadOptions()).attrs["pixel_size_m"] == 12.5


def test_a_lazy_scene_gets_lazy_companions(tmp_path: Path) -> None:
    path = writers.WRITERS["licsar"](tmp_path, writers.Scene()).path
    (reference,) = discover([path])
    bare = fw.open_interferogram(reference, companions=False, chunks=20)
    lazy = with_what_lies_beside(bare, reference, ReadOptions(chunks=20), rows=ROWS)
    assert lazy["coherence"].chunks == bare["phase"].chunks
    assert lazy.compute().equals(fw.open_interferogram(path))
