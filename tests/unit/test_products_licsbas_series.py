"""Time series of LiCSBAS: which pairs there are, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import fringewatch as fw
from fringewatch.errors import ProductError
from product_writers import PAIR, Scene, write_licsbas_series

if TYPE_CHECKING:
    from pathlib import Path

h5py = pytest.importorskip("h5py")
SCENE = Scene()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_licsbas_series(tmp_path, SCENE).path.with_name("cum.h5")


def test_consecutive_dates_are_listed_and_any_two_are_read(path: Path) -> None:
    assert [reference.member for reference in fw.discover(path)] == ["20180520_20180601", PAIR]
    backwards = fw.open_interferogram(f"{path}#{'_'.join(PAIR.split('_')[::-1])}")
    np.testing.assert_allclose(backwards["phase"], -SCENE.wrapped, atol=1e-5)
    assert any("before the reference date" in sentence for sentence in backwards.attrs["assumptions"])
    # The 7.5 mm of the first interval, everywhere, on top of the second's.
    longer = fw.open_interferogram(f"{path}#20180520_20180613")["phase"].values
    shift = np.angle(np.exp(1j * (longer - SCENE.wrapped)))[SCENE.valid]
    truth = np.angle(np.exp(-4j * np.pi * 0.0075 / SCENE.wavelength_m))
    np.testing.assert_allclose(shift, truth, atol=1e-4)


@pytest.mark.parametrize("member", ["20170101_20170113", f"{PAIR[:8]}_{PAIR[:8]}", "nonsense"])
def test_what_is_no_pair_is_refused(path: Path, member: str) -> None:
    with pytest.raises(ProductError, match=r"there is no pair .* of its dates; it holds 2 interferograms"):
        fw.open_interferogram(f"{path}#{member}")


def test_one_has_to_be_named(path: Path) -> None:
    with pytest.raises(ProductError, match="holds 2 interferograms"):
        fw.open_interferogram(path)


def test_a_file_without_dates_or_grid_is_refused(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["post_lat"]
    with pytest.raises(ProductError, match="has no corner_lon, corner_lat, post_lon and post_lat"):
        fw.open_interferogram(f"{path}#{PAIR}")
    with h5py.File(path, "a") as file:
        file["imdates"][0] = 20181332
    with pytest.raises(ProductError, match="has the date '20181332', expected YYYYMMDD"):
        fw.open_interferogram(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ProductError, match=r"cum\.h5"):
        fw.open_interferogram(path)
