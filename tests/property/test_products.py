"""Properties that reading keeps for any values."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fringewatch as fw
from fringewatch.conventions import SENTINEL1_WAVELENGTH_M
from fringewatch.interferogram import make_interferogram
from fringewatch.products.decode import PhaseDecoder, border_zeros, grey_to_phase
from fringewatch.products.licsar import write_licsar
from fringewatch.products.names import dates

PI = np.float32(np.pi)
SHAPE = hnp.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=20)
WRAPPED = st.one_of(st.floats(-PI, PI, width=32, exclude_min=True), st.just(0.0), st.just(float("nan")))


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.float32, SHAPE, elements=WRAPPED))
def test_licsar_round_trip(phase: np.ndarray) -> None:
    phase.flat[0], phase.flat[1] = 1, 2  # at least an interferogram
    from affine import Affine

    dataset = make_interferogram(
        phase, wavelength_m=SENTINEL1_WAVELENGTH_M, transform=Affine(0.001, 0, 10, 0, -0.001, 40), crs="EPSG:4326"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_licsar(
            Path(folder), dataset, frame="014A_07688_131313", reference_date="20160101", secondary_date="20160113"
        )
        read = fw.open_interferogram(path)["phase"].values
    np.testing.assert_array_equal(np.isnan(read), np.isnan(phase))
    np.testing.assert_allclose(read, phase, atol=1.1e-6)


@given(hnp.arrays(np.float32, SHAPE, elements=st.floats(-1e4, 1e4, width=32)), st.integers(-50, 50))
def test_unwrapped_phase_wraps_to_the_same_angle(phase: np.ndarray, turns: int) -> None:
    decode = PhaseDecoder(source="test", kind="unwrapped")
    wrapped = decode(phase[None])
    assert wrapped.dtype == np.float32
    assert wrapped.min() > -PI
    assert wrapped.max() <= PI
    np.testing.assert_allclose(np.exp(1j * wrapped.astype(float)), np.exp(1j * phase.astype(float)), atol=1e-6)
    shifted = decode((phase.astype(np.float64) + turns * 2 * np.pi)[None])
    np.testing.assert_allclose(np.exp(1j * shifted.astype(float)), np.exp(1j * wrapped.astype(float)), atol=1e-6)


@given(hnp.arrays(np.float32, SHAPE, elements=WRAPPED))
def test_negating_twice_is_nothing(phase: np.ndarray) -> None:
    decode = PhaseDecoder(source="test", kind="wrapped", negate=True)
    np.testing.assert_array_equal(decode(decode(phase[None])[None]), phase)


ODD = st.sampled_from([0.0, -0.0, 9.0, np.nan, np.inf, -np.inf, PI, -PI, PI + np.float32(5e-4), -PI - np.float32(5e-4)])


@given(
    hnp.arrays(np.float32, SHAPE, elements=st.one_of(WRAPPED, ODD)),
    st.sampled_from([None, 0.0, 9.0, float("nan")]),
    st.booleans(),
    st.booleans(),
)
def test_wrapped_phase_is_decoded_by_the_rule_wherever_it_lies(
    raw: np.ndarray, nodata: float | None, zero: bool, negate: bool
) -> None:
    raw[raw == 9] = np.nan if nodata != 9 else 9
    expected = raw.copy()
    expected[~np.isfinite(raw) | (raw == nodata) | (zero & (raw == 0))] = np.nan
    expected = np.clip(expected, -PI, PI) * np.float32(-1 if negate else 1)
    expected[expected <= -PI] = PI
    decode = PhaseDecoder(source="test", kind="wrapped", nodata=nodata, zero_is_nodata=zero, negate=negate)
    before = raw.copy()
    np.testing.assert_array_equal(decode(raw[None]), expected)
    np.testing.assert_array_equal(raw, before)
    np.testing.assert_array_equal(decode(raw[None], overwrite=True), expected)


@given(hnp.arrays(np.float32, SHAPE, elements=st.floats(-PI, PI, width=32, exclude_min=True)))
def test_complex_and_phase_decode_alike(phase: np.ndarray) -> None:
    z = (5 * np.exp(1j * phase)).astype(np.complex64)
    angle = PhaseDecoder(source="test", kind="complex")(z[None])
    np.testing.assert_allclose(np.exp(1j * angle), np.exp(1j * phase), atol=1e-6)


@given(hnp.arrays(np.uint8, SHAPE))
def test_grey_is_phase_to_half_a_step(grey: np.ndarray) -> None:
    phase = grey_to_phase(grey, 255.0)
    back = np.rint((phase + PI) / (2 * PI) * 255).astype(int)
    # 0 and 255 are the same angle.
    assert ((back - grey.astype(int)) % 255 == 0).all()


@given(SHAPE, st.integers(0, 3))
def test_zeros_off_the_edge_are_never_no_data(shape: tuple[int, int], width: int) -> None:
    values = np.zeros(shape, np.float32)
    values[0], values[-1], values[:, 0], values[:, -1] = 1, 1, 1, 1
    assert not border_zeros([(values, (True,) * 4)])[0]
    # A run of seven on the edge is not enough, whatever lies inside.
    values[0, :7] = 0
    assert not border_zeros([(values, (True,) * 4)])[0]


@given(st.dates(), st.dates())
def test_dates_of_any_pair(first: object, second: object) -> None:
    texts = [f"{day:%Y%m%d}".zfill(8) for day in (first, second)]
    expected = tuple(str(day) for day in (first, second))
    if all(text.startswith(("19", "20")) for text in texts):
        assert dates(f"/archive/11112222_33334444/{texts[0]}_{texts[1]}.geo.unw.tif") == expected
    else:
        assert dates(f"{texts[0]}_{texts[1]}.tif") == ("", "")
