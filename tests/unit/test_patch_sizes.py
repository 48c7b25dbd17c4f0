"""Patches of many sizes: how they fit a network, which share a batch, what a batch shows of them, simulated crops."""

from __future__ import annotations

import numpy as np
import pytest

from fringewatch.encoding import Encoding
from fringewatch.errors import ConfigError
from fringewatch.patches import fit_patch, limit_sides, place_centred, resample
from fringewatch.simulate.crops import Crop, draw_crop, move_to_data
from fringewatch.simulate.settings import SimulateConfig

try:
    from fringewatch.training.classifier.batches import epoch_batches, exact_batches, make_buckets, trimmed_share
    from fringewatch.training.classifier.data import Batcher, PatchArrays
    from fringewatch.training.codes import decode_codes
except ImportError:  # without the extra [train]
    make_buckets = None

train = [pytest.mark.train, pytest.mark.skipif(make_buckets is None, reason="needs the extra [train]")]


def ramp(height, width, rate=0.3):
    return np.angle(np.exp(1j * rate * np.add.outer(np.arange(height), np.zeros(width)))).astype(np.float32)


# Fit


def test_the_middle_is_kept_and_what_lacks_is_no_data():
    phase = np.arange(20, dtype=np.float32).reshape(4, 5)
    placed = place_centred(phase, 2, 8)
    np.testing.assert_array_equal(placed[:, 1:6], phase[1:3])
    assert np.isnan(placed[:, [0, 6, 7]]).all()
    assert fit_patch(phase, 4, "crop")[0].tolist() == [0, 1, 2, 3]


def test_resize_stretches_each_side_pad_and_crop_keep_the_rate_of_fringes():
    phase = ramp(40, 20)
    assert np.isfinite(fit_patch(phase, 60, "resize")).all()
    for how in ("pad", "crop"):
        fitted = fit_patch(phase, 60, how)
        assert np.isfinite(fitted).sum() == 800
        inside = fitted[10:50, 20:40]
        np.testing.assert_array_equal(inside, phase)


def test_pad_shrinks_what_is_larger_and_crop_cuts_it():
    phase = ramp(80, 20, rate=0.1)
    padded, cropped = fit_patch(phase, 40, "pad"), fit_patch(phase, 40, "crop")
    assert padded.shape == cropped.shape == (40, 40)
    # Shrunk by two: half as wide, fringes twice as dense.
    assert np.isfinite(padded).any(axis=0).sum() == 10
    rate = np.angle(np.exp(1j * np.diff(padded[5:35, 20])))
    np.testing.assert_allclose(rate, 0.2, atol=0.01)
    np.testing.assert_array_equal(cropped[:, 10:30], phase[20:60])


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1), (32, 32)),
        ((5000, 5000), (512, 512)),
        ((5000, 3), (512, 32)),
        ((3, 700), (32, 512)),
        ((50, 60), (50, 60)),
    ],
)
def test_sizes_that_no_network_takes_are_filled_up_or_shrunk(shape, expected):
    limited = limit_sides(np.zeros(shape, np.float32), 32, 512)
    assert limited.shape == expected
    assert np.nanmax(np.abs(limited)) == 0


def test_resampling_to_other_proportions():
    resampled = resample(ramp(30, 40, rate=0.2), 60, 20)
    assert resampled.shape == (60, 20)
    np.testing.assert_allclose(np.angle(np.exp(1j * np.diff(resampled[5:-5, 7]))), 0.1, atol=0.02)


# Buckets and batches


def drawn_sizes(count, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.uniform(np.log(48), np.log(400), (count, 2))).astype(np.int64)


class TestBuckets:
    pytestmark = train

    def test_every_patch_is_in_one_bucket_that_it_fills(self):
        sizes = drawn_sizes(300)
        for turn in (True, False):
            buckets = make_buckets(sizes, least=8, turn=turn)
            assert sorted(np.concatenate([bucket.indices for bucket in buckets])) == list(range(300))
            for bucket in buckets:
                members = sizes[bucket.indices]
                members = np.sort(members, axis=1)[:, ::-1] if turn else members
                assert len(members) >= 8
                # Nothing is trimmed more than the smallest of them asks for.
                assert tuple(members.min(axis=0)) == (bucket.height_px, bucket.width_px)

    def test_little_is_trimmed_and_less_of_larger_sets(self):
        shares = []
        for count in (100, 1000):
            sizes = drawn_sizes(count)
            shares.append(trimmed_share(make_buckets(sizes, least=8, turn=True), sizes))
        assert shares[1] < shares[0]
        assert shares[1] < 0.25

    def test_frequent_sizes_are_kept_and_a_lone_one_joins_the_nearest(self):
        sizes = np.array([[180, 180]] * 10 + [[224, 224]] * 10 + [[190, 200]])
        buckets = make_buckets(sizes, least=8, turn=True)
        found = {(bucket.height_px, bucket.width_px): len(bucket.indices) for bucket in buckets}
        assert found == {(180, 180): 11, (224, 224): 10}

    def test_the_smallest_of_all_draws_another_to_itself(self):
        sizes = np.array([[20, 30]] + [[180, 180]] * 8)
        (bucket,) = make_buckets(sizes, least=4, turn=False)
        assert (bucket.height_px, bucket.width_px) == (20, 30)
        assert len(bucket.indices) == 9

    def test_batches_of_an_epoch_hold_every_patch_once_none_alone_and_sizes_alternate(self):
        sizes = drawn_sizes(301)
        buckets = make_buckets(sizes, least=8, turn=True)
        batches = epoch_batches(buckets, 16, seed=3, epoch=2, turn=True)
        assert sorted(np.concatenate([batch.indices for batch in batches])) == list(range(301))
        assert all(4 <= len(batch.indices) <= 16 for batch in batches)
        assert len({batch[1:] for batch in batches[: len(batches) // 2]}) > 5
        assert {batch.height_px > batch.width_px for batch in batches} == {True, False}
        again = epoch_batches(buckets, 16, seed=3, epoch=2, turn=True)
        assert all(np.array_equal(one.indices, other.indices) for one, other in zip(batches, again, strict=True))
        other = epoch_batches(buckets, 16, seed=3, epoch=3, turn=True)
        assert len(other) == len(batches)
        assert not np.array_equal(batches[0].indices, other[0].indices)

    def test_held_out_batches_are_of_exact_sizes(self):
        sizes = np.array([[5, 6], [7, 7], [5, 6], [6, 5], [5, 6]])
        batches = exact_batches(sizes, 2)
        assert sorted(tuple(batch.indices) for batch in batches) == [(0, 2), (1,), (3,), (4,)]
        assert all((sizes[batch.indices] == batch[1:]).all() for batch in batches)


class TestBatcher:
    pytestmark = train

    @pytest.fixture
    def arrays(self):
        rng = np.random.default_rng(1)
        # Every code of a patch differs from its neighbours', so that a place can be found.
        codes = [rng.integers(1, 256, size).astype(np.uint8) for size in [(9, 5), (6, 12), (7, 7), (5, 8)]]
        return PatchArrays(codes, np.array([0, 1, 0, 1]), (), ("none", "deformation"))

    def test_without_augmentation_the_middle_is_shown(self, arrays):
        encoding = Encoding()
        (batch,) = [
            each
            for bucket in [make_buckets(arrays.sizes_px, least=4, turn=False)]
            for each in epoch_batches(bucket, 4, seed=0, epoch=0)
        ]
        assert batch[1:] == (5, 5)
        patches, label = Batcher(arrays, encoding, augment=False).batch(batch)
        for patch, index in zip(patches.numpy(), batch.indices, strict=True):
            height, width = arrays.codes[index].shape
            top, left = (height - 5 + 1) // 2, (width - 5 + 1) // 2
            middle = arrays.codes[index][top : top + 5, left : left + 5]
            np.testing.assert_array_equal(patch, encoding(decode_codes()[middle]))
        assert label.tolist() == arrays.label[batch.indices].tolist()

    def test_augmented_patches_are_parts_of_theirs_laid_in_some_way(self, arrays):
        """Upright and lying batches; a part is found again by its pattern of phase differences, whatever the offset."""
        batcher = Batcher(arrays, Encoding(), augment=True, seed=5)
        buckets = make_buckets(arrays.sizes_px, least=4, turn=True)
        assert len(buckets) == 1
        corners, shapes = set(), set()
        for epoch in range(12):
            (batch,) = epoch_batches(buckets, 4, seed=0, epoch=epoch, turn=True)
            shapes.add(batch[1:])
            patches, _ = batcher.batch(batch, epoch=epoch)
            for patch, index in zip(patches.numpy(), batch.indices, strict=True):
                place = find(patch[0] + 1j * patch[1], np.exp(1j * decode_codes()[arrays.codes[index]]))
                assert place is not None
                corners.add((int(index), *place))
        assert shapes == {(7, 5), (5, 7)}
        assert len({corner[1:] for corner in corners if corner[0] == 1}) > 3
        again, _ = batcher.batch(batch, epoch=epoch)
        np.testing.assert_array_equal(again, patches)


def find(part, whole):
    """Return the corner at which a part of `whole`, turned, mirrored, conjugated and times a constant, is `part`."""
    for way in range(8):
        turned = np.rot90(whole[:, ::-1] if way >= 4 else whole, way % 4)
        for top in range(turned.shape[0] - part.shape[0] + 1):
            for left in range(turned.shape[1] - part.shape[1] + 1):
                piece = turned[top : top + part.shape[0], left : left + part.shape[1]]
                for other in (piece, piece.conj()):
                    if abs(abs(np.vdot(other, part)) / part.size - 1) < 1e-4:
                        return top, left
    return None


# Simulated crops


def test_crops_hold_the_deformation_with_some_margin():
    mask = np.zeros((300, 400), bool)
    mask[100:160, 200:320] = True
    for seed in range(20):
        rows, columns = draw_crop(mask, (48, 256), np.random.default_rng(seed))
        assert rows.start < 100 < 160 < rows.stop
        assert columns.start < 200 < 320 < columns.stop
        assert rows.stop - rows.start <= 60 * 2 + 1
        assert columns.stop - columns.start <= 120 * 2 + 1


@pytest.mark.parametrize(
    ("box", "sides"), [((0, 3, 397, 400), (48, 48)), ((0, 300, 0, 400), (256, 256)), ((148, 152, 0, 400), (48, 256))]
)
def test_crops_keep_to_their_sides_and_the_scene(box, sides):
    mask = np.zeros((300, 400), bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    rows, columns = draw_crop(mask, (48, 256), np.random.default_rng(0))
    assert (rows.stop - rows.start, columns.stop - columns.start) == sides
    assert rows.start >= 0
    assert rows.stop <= 300
    assert columns.start >= 0
    assert columns.stop <= 400
    assert mask[rows, columns].any()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"crop_px": (8, 64), "balanced": True}, "at least 16"),
        ({"crop_px": (64, 48), "balanced": True}, "the shortest side"),
        ({"crop_px": (48, 64)}, "add --balanced"),
        ({"crop_px": (48, 64), "balanced": True, "form": "licsar"}, "--form patches"),
        ({"crop_px": (48, 400), "balanced": True, "size_px": 200}, "sides of 200 pixels; give --size-px 400"),
    ],
)
def test_crops_that_cannot_be(values, text):
    with pytest.raises(ConfigError, match=text):
        SimulateConfig.build(values).population()


def test_quiet_crops_move_out_of_gaps_no_farther_than_needed():
    known = np.ones((200, 240), bool)
    crop = Crop(slice(20, 70), slice(30, 110))
    assert move_to_data(crop, known) == crop
    known[:, :100] = False
    # 80 columns wide: 40 of them have data from column 60 on.
    assert move_to_data(crop, known) == Crop(slice(20, 70), slice(60, 140))
    # Less than half of any crop has data: the one that holds all there is, and is nearest.
    few = np.zeros_like(known)
    few[100:110, 200:210] = True
    moved = move_to_data(crop, few)
    assert few[moved].sum() == 100
    assert (moved.rows.start, moved.columns.start) == (60, 130)
    nothing = np.zeros_like(known)
    assert move_to_data(crop, nothing) == crop
    whole = Crop(slice(0, 200), slice(0, 240))
    assert move_to_data(whole, few) == whole
