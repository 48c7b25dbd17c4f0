"""Weight files of Keras without Keras: layouts, names of their own, tops, damage and other networks' files."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
h5py = pytest.importorskip("h5py")

from fringewatch.errors import BundleError, OutputError
from fringewatch.networks.classifier import Classifier
from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.keras_weights import load_keras_weights, save_keras_weights
from fringewatch.networks.layers import Add, BatchNorm2d, Conv2d
from fringewatch.networks.tops import PoolingTop

pytestmark = pytest.mark.train

LAYOUTS = ["x.h5", "x.weights.h5"]


class Tiny(LayerGraph):
    """Two branches: made in one order, in Keras' order in another."""

    title = "Tiny"
    channels = 4

    def __init__(self, width=3, norms=1):
        super().__init__()
        short = self.add("short_conv", Conv2d(3, 4, 1, bias=False), INPUT)
        x = self.add("first_conv", Conv2d(3, width, 3, padding=1), INPUT)
        for number in range(norms):
            x = self.add(f"first_bn{number or ''}", BatchNorm2d(width, scale=False), x)
        x = self.add("second_conv", Conv2d(width, 4, (1, 3), padding=(0, 1)), x)
        x = self.add("second_bn", BatchNorm2d(4), x)
        self.add("sum", Add(), short, x)


def randomised(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each in network.state_dict().values():
            if each.dtype.is_floating_point:
                each.uniform_(0.5, 1.5, generator=generator)
    return network


def whole(**options):
    return Classifier(Tiny(**options), PoolingTop(4, dense=(5, 6), hidden=(7,)), input_size_px=8)


def state(network):
    return {key: each for key, each in network.state_dict().items() if "num_batches" not in key}


def text(attribute):
    """Versions of h5py differ in what they make of a list of names."""
    return attribute.decode() if isinstance(attribute, bytes) else attribute


def assert_same(one, other):
    assert state(one).keys() == state(other).keys()
    for key, values in state(one).items():
        assert torch.equal(values, state(other)[key]), key


def test_order_is_by_distance_to_the_output():
    names = Tiny().layer_names()
    assert names == ("input_layer", "first_conv", "first_bn", "second_conv", "short_conv", "second_bn", "sum")


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("make", [Tiny, whole])
def test_what_is_written_is_read_back(name, make, tmp_path):
    saved, loaded = randomised(make()), randomised(make(), seed=1)
    save_keras_weights(saved, tmp_path / name)
    read = load_keras_weights(loaded, tmp_path / name)
    assert_same(loaded, saved)
    assert read == (5 if make is Tiny else 11, ())


def test_arrays_have_the_axes_of_keras(tmp_path):
    network = randomised(Tiny())
    save_keras_weights(network, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        kernel = file["second_conv/second_conv/kernel:0"][()]
        assert [text(each) for each in file["first_bn"].attrs["weight_names"]] == [
            "first_bn/beta:0",
            "first_bn/moving_mean:0",
            "first_bn/moving_variance:0",
        ]
    assert kernel.shape == (1, 3, 3, 4)
    assert kernel[0, 2, 1, 3] == network.second_conv.weight[3, 1, 0, 2].item()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_backbone_comes_out_of_a_whole_model(name, tmp_path):
    saved, loaded = randomised(whole()), Tiny()
    save_keras_weights(saved, tmp_path / name)
    read = load_keras_weights(loaded, tmp_path / name)
    assert_same(loaded, saved.backbone)
    assert set(read.left_out) == {"dense_1", "dense_2", "hidden_1", "hidden_1_bn", "output", "output_bn"}


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_legacy_file_with_names_of_its_own_goes_by_order(wrapped, tmp_path):
    """As the ImageNet releases: names with slashes, `W_1:0` for a kernel, names spread over two attributes."""
    saved = randomised(Tiny())
    save_keras_weights(saved, tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as old, h5py.File(tmp_path / "release.h5", "w") as new:
        root = new.create_group("model_weights") if wrapped else new
        names = [text(each) for each in old.attrs["layer_names"]]
        renamed = [f"block{number}/layer" for number in range(len(names))]
        root.attrs["layer_names0"] = [b"input_1", *(each.encode() for each in renamed[:2])]
        root.attrs["layer_names1"] = [each.encode() for each in renamed[2:]]
        root.create_group("input_1").attrs["weight_names"] = []
        for name, other in zip(names, renamed, strict=True):
            group = root.create_group(other)
            arrays = [old[name][each] for each in old[name].attrs["weight_names"]]
            group.attrs["weight_names"] = [f"W_{number}:0".encode() for number in range(len(arrays))]
            for number, values in enumerate(arrays):
                group[f"W_{number}:0"] = values[()]
    loaded = Tiny()
    load_keras_weights(loaded, tmp_path / "release.h5")
    assert_same(loaded, saved)


def test_a_backbone_nested_in_a_keras_3_model_is_found(tmp_path):
    saved, loaded = randomised(Tiny()), Tiny()
    save_keras_weights(saved, tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5") as old, h5py.File(tmp_path / "nested.weights.h5", "w") as new:
        old.copy("layers", new.create_group("layers/functional"))
    load_keras_weights(loaded, tmp_path / "nested.weights.h5")
    assert_same(loaded, saved)


# Wrong files


def refuse(network, path, words):
    """Loading fails with the text and the file's name, and leaves the network as it was."""
    before = {key: each.clone() for key, each in state(network).items()}
    with pytest.raises(BundleError, match=words) as caught:
        load_keras_weights(network, path)
    assert str(path) in str(caught.value)
    for key, values in state(network).items():
        assert torch.equal(values, before[key])


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_wrong_shape_is_told_with_layer_and_both_shapes(name, tmp_path):
    save_keras_weights(Tiny(width=5), tmp_path / name)
    words = re.escape("layer 'first_conv' of Tiny: kernel has shape (3, 3, 3, 5); expected (3, 3, 3, 3)")
    refuse(Tiny(), tmp_path / name, words)


def test_a_file_with_other_names_tells_both(tmp_path):
    save_keras_weights(Tiny(width=5), tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file.move("first_conv", "alien")
        names = [text(each) for each in file.attrs["layer_names"]]
        file.attrs["layer_names"] = [b"alien", *(each.encode() for each in names[1:])]
        file["alien"].attrs["weight_names"] = [b"first_conv/kernel:0", b"first_conv/bias:0"]
    refuse(Tiny(), tmp_path / "x.h5", re.escape("layer 'first_conv' of Tiny (in the file 'alien'): kernel has shape"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layer_too_few_is_named(name, tmp_path):
    save_keras_weights(Tiny(norms=1), tmp_path / name)
    network = Tiny(norms=2)
    words = "arrays; expected|holds 5 layers with weights where this backbone .Tiny. has 6; the first it lacks"
    refuse(network, tmp_path / name, words)


def test_a_missing_last_layer_is_named(tmp_path):
    save_keras_weights(Tiny(), tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        del file["layers/batch_normalization_1"]
    words = re.escape(
        "holds 4 layers with weights where this backbone (Tiny) has 5; "
        "the first it lacks is 'second_bn' (gamma (4,), beta (4,), moving_mean (4,), moving_variance (4,)); "
        "expected a file saved from the same backbone"
    )
    refuse(Tiny(), tmp_path / "x.weights.h5", words)


def test_a_layer_too_many_is_named(tmp_path):
    save_keras_weights(Tiny(), tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        file["layers/conv2d_3/vars/0"] = np.zeros((1, 1, 4, 4), np.float32)
    refuse(Tiny(), tmp_path / "x.weights.h5", "holds 6 layers.*has 5; the first too many is 'conv2d_3'")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_whole_network_does_not_take_a_backbone_s_file(name, tmp_path):
    save_keras_weights(Tiny(), tmp_path / name)
    words = "where this whole network .Tiny. has 11; the first it lacks is 'dense_1' .kernel .4, 5., bias .5,.."
    refuse(whole(), tmp_path / name, words)


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    network = randomised(Tiny())
    network.second_conv.bias.data[2] = float("nan")
    save_keras_weights(network, tmp_path / "x.weights.h5")
    refuse(Tiny(), tmp_path / "x.weights.h5", "bias of layer 'second_conv' holds NaN or infinity")


def test_arrays_that_are_not_real_are_refused(tmp_path):
    save_keras_weights(Tiny(), tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        del file["layers/conv2d/vars/1"]
        file["layers/conv2d/vars/1"] = np.zeros(3, np.int32)
    refuse(Tiny(), tmp_path / "x.weights.h5", "bias of layer 'first_conv' has type int32")


def test_half_precision_is_read(tmp_path):
    save_keras_weights(randomised(Tiny()), tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "a") as file:
        del file["layers/conv2d/vars/1"]
        file["layers/conv2d/vars/1"] = np.array([0.5, 0.25, 2], np.float16)
    network = Tiny()
    load_keras_weights(network, tmp_path / "x.weights.h5")
    assert network.first_conv.bias.tolist() == [0.5, 0.25, 2]


def test_files_that_are_no_weights(tmp_path):
    refuse(Tiny(), tmp_path / "absent.h5", "no such file")
    page = tmp_path / "page.h5"
    page.write_text("<html>not found</html>")
    refuse(Tiny(), page, "is not an HDF5 file or is cut short")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["phase"] = np.zeros(3)
    refuse(Tiny(), tmp_path / "other.h5", "holds no Keras weights")
    save_keras_weights(Tiny(), tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["second_bn"]
    refuse(Tiny(), tmp_path / "x.h5", "layer 'second_bn' is listed but missing")


def test_a_file_cut_short_is_refused(tmp_path):
    save_keras_weights(Tiny(), tmp_path / "x.h5")
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    refuse(Tiny(), tmp_path / "cut.h5", "cut short")


def test_the_name_decides_the_layout(tmp_path):
    with pytest.raises(BundleError, match=r"expected it to end in \.weights\.h5 .Keras 3. or \.h5"):
        save_keras_weights(Tiny(), tmp_path / "x.pth")
    with pytest.raises(OutputError, match="cannot be written"):
        save_keras_weights(Tiny(), tmp_path / "absent" / "x.h5")
    assert list(tmp_path.iterdir()) == []
