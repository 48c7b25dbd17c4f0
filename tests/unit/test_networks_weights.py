"""Start weights from every source, without a network: the official release is played by a server of our own."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import threading

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("h5py")
pytest.importorskip("pooch")

from fringewatch.errors import BundleError, ConfigError
from fringewatch.models import Card, save_bundle
from fringewatch.networks import registry, weights
from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.keras_weights import save_keras_weights
from fringewatch.networks.layers import BatchNorm2d, Conv2d
from fringewatch.networks.registry import create
from fringewatch.networks.weights import fetch_imagenet, load_weights, preprocessing_for, save_weights

pytestmark = pytest.mark.train


class Small(LayerGraph):
    """Stands in for VGG16, whose files have 58 MB."""

    title = "Small"
    channels = 4

    def __init__(self):
        super().__init__()
        x = self.add("conv", Conv2d(3, 4, 3, padding=1), INPUT)
        x = self.add("bn", BatchNorm2d(4), x)
        self.add("pool", torch.nn.MaxPool2d(32), x)


class Other(LayerGraph):
    title = "Other"
    channels = 4

    def __init__(self):
        super().__init__()
        x = self.add("conv", Conv2d(3, 4, 5, padding=2), INPUT)
        x = self.add("bn", BatchNorm2d(4), x)
        self.add("pool", torch.nn.MaxPool2d(32), x)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setitem(registry._BACKBONES, "vgg16", Small)
    monkeypatch.setitem(registry._BACKBONES, "resnet50", Other)


def network(seed, name="vgg16", hidden=(5,)):
    torch.manual_seed(seed)
    result = create(name, input_size_px=64, dense=(7, 6), hidden=hidden)
    with torch.no_grad():
        for values in result.state_dict().values():
            if values.is_floating_point():
                values.uniform_(0.5, 1.5)
    return result


def state(part):
    return {key: values.clone() for key, values in part.state_dict().items() if "num_batches" not in key}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(values, other[key]) for key, values in one.items())


@pytest.fixture(params=["weights.pt", "model.h5", "model.weights.h5", "bundle"])
def source(request, tmp_path):
    """The weights of ``network(1)`` in each form that training can start from."""
    trained = network(1)
    if request.param == "bundle":
        return bundle_of(tmp_path / "pretrained", trained)
    path = tmp_path / request.param
    (save_weights if path.suffix == ".pt" else save_keras_weights)(trained, path)
    return path


def bundle_of(folder, trained, **fields):
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"network")
    save_weights(trained, folder / "weights.pt")
    values = {"name": "x", "version": "1", "architecture": "vgg16", "parameters": 1, "halo_px": 8, "sha256": {}}
    return save_bundle(folder, Card(**values | {"files": {"float32": "model.onnx"}, "weights": "weights.pt"} | fields))


def test_the_same_top_comes_along(source):
    target = network(2)
    loaded = load_weights(target, source, strict_top=True)
    assert loaded == (8, ())
    assert same(state(target), state(network(1)))


def test_a_top_of_other_shape_stays_as_it_is(source):
    target = network(2, hidden=(3,))
    top = state(target.top)
    loaded = load_weights(target, source)
    assert loaded.layers == 2
    assert set(loaded.left_out) == {"dense_1", "dense_2", "hidden_1", "hidden_1_bn", "output", "output_bn"}
    assert same(state(target.backbone), state(network(1).backbone))
    assert same(state(target.top), top)


def test_a_top_of_other_shape_can_be_an_error(source):
    target = network(2, hidden=(3,))
    before = state(target)
    with pytest.raises(BundleError, match=r"layer 'hidden_1'.* has shape \((6, 5|5, 6)\); expected \((6, 3|3, 6)\)"):
        load_weights(target, source, strict_top=True)
    assert same(state(target), before)


def test_weights_of_another_network_name_layer_and_shapes(source):
    target = network(2, name="resnet50")
    before = state(target)
    messages = (
        r"layer 'conv'.*\(3, 3, 3, 4\); expected \(5, 5, 3, 4\)",  # Keras' axes
        r"layer 'conv'.*\(4, 3, 3, 3\); expected \(4, 3, 5, 5\)",
        "holds weights of vgg16; expected a bundle of resnet50",
    )
    with pytest.raises(BundleError, match="|".join(messages)):
        load_weights(target, source)
    assert same(state(target), before)


def test_a_bundle_is_found_by_name(tmp_path, monkeypatch):
    bundle_of(tmp_path / "volcano", network(1))
    monkeypatch.setenv("FRINGEWATCH_MODELS", str(tmp_path))
    target = network(2)
    load_weights(target, "volcano")
    assert same(state(target), state(network(1)))
    with pytest.raises(BundleError, match="did you mean 'volcano'"):
        load_weights(target, "vulcano")


def test_bundles_without_weights_and_with_changed_ones(tmp_path):
    folder = bundle_of(tmp_path / "bare", network(1), weights=None)
    with pytest.raises(BundleError, match="bare: holds no weights to train from"):
        load_weights(network(2), folder)
    folder = bundle_of(tmp_path / "changed", network(1))
    save_weights(network(3), folder / "weights.pt")
    with pytest.raises(BundleError, match=r"weights\.pt: SHA-256 is .* changed or damaged"):
        load_weights(network(2), folder)


def test_layers_missing_and_too_many(tmp_path):
    path = tmp_path / "x.pt"
    whole = state(network(1))
    torch.save({key: values for key, values in whole.items() if "bn." not in key}, path)
    with pytest.raises(BundleError, match=r"layer 'bn' is missing in the backbone \(Small\)"):
        load_weights(network(2), path)
    extra = {f"backbone.new.{key}": torch.zeros(1) for key in ("weight", "bias")}
    counters = {key: each for key, each in network(1).state_dict().items() if "num_batches" in key}
    torch.save(whole | counters | extra, path)
    with pytest.raises(BundleError, match="layer 'new' is one too many in the backbone"):
        load_weights(network(2), path)
    torch.save(whole | {"head.weight": torch.zeros(1)}, path)
    with pytest.raises(BundleError, match=r"holds 'head\.weight'; expected only weights of a backbone and a top"):
        load_weights(network(2), path)


def test_a_backbone_alone_is_enough(tmp_path):
    path = tmp_path / "x.pt"
    torch.save({key: each for key, each in network(1).state_dict().items() if key.startswith("backbone.")}, path)
    target = network(2)
    assert load_weights(target, path) == (2, ())
    assert same(state(target.backbone), state(network(1).backbone))
    with pytest.raises(BundleError, match="layer 'dense_1' is missing in the top"):
        load_weights(target, path, strict_top=True)


class Harmful:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file; expected weights that fringewatch saved"),
        (b"not a network", "is no file of weights or is damaged"),
        ([1, 2], "holds a list that is no state of a network"),
        ({"a": 1}, "holds a dict that is no state of a network"),
        ({"backbone.conv.weight": torch.tensor([float("nan")])}, r"backbone\.conv\.weight holds NaN"),
        (Harmful(), "is no file of weights or is damaged"),
    ],
)
def test_damaged_and_foreign_files(content, message, tmp_path, capsys):
    path = tmp_path / "x.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    target = network(2)
    before = state(target)
    with pytest.raises(BundleError, match=rf"x\.pt: {message}"):
        load_weights(target, path)
    assert same(state(target), before)
    assert "ran" not in capsys.readouterr().out


@contextlib.contextmanager
def serving(folder):
    """Serve a folder over HTTP on this machine; yields the address and the list of requests."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            requests.append(arguments)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A file in the layout of the official ones: legacy, backbone only, layers under names of their own."""
    folder = tmp_path / "server"
    folder.mkdir()
    save_keras_weights(network(1).backbone, folder / "small_notop.h5")
    monkeypatch.setenv("FRINGEWATCH_CACHE", str(tmp_path / "cache"))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    return folder / "small_notop.h5"


def announce(monkeypatch, address, path, md5=None):
    md5 = md5 or hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(
        weights.IMAGENET, "vgg16", weights.ImageNetRelease(f"{address}/{path.name}", md5, "imagenet-caffe")
    )


def test_imagenet_weights_are_fetched_once(release, monkeypatch, tmp_path, capsys):
    target = network(2)
    top = state(target.top)
    with serving(release.parent) as (address, requests):
        announce(monkeypatch, address, release)
        assert load_weights(target, "imagenet") == (2, ())
        load_weights(target, "imagenet")
        assert len(requests) == 1
    assert same(state(target.backbone), state(network(1).backbone))
    assert same(state(target.top), top)
    assert capsys.readouterr().err == f"fetching {address}/small_notop.h5\n"
    # The server is gone: what lies in the cache is enough.
    assert fetch_imagenet("vgg16") == tmp_path / "cache" / "imagenet" / "small_notop.h5"


def test_offline_says_where_from_and_where_to(release, monkeypatch, tmp_path):
    with serving(release.parent) as (address, _):
        announce(monkeypatch, address, release)
    place = tmp_path / "cache" / "imagenet" / "small_notop.h5"
    with pytest.raises(BundleError) as caught:
        load_weights(network(2), "imagenet")
    message = str(caught.value)
    assert f"{address}/small_notop.h5 cannot be fetched (" in message
    assert "Connection refused" in message
    assert f"put it at {place}, or give your copy with --weights small_notop.h5" in message
    # As told.
    place.write_bytes(release.read_bytes())
    target = network(2)
    load_weights(target, "imagenet")
    assert same(state(target.backbone), state(network(1).backbone))


def test_a_file_that_is_not_the_official_one_is_refused(release, monkeypatch, tmp_path):
    with serving(release.parent) as (address, _):
        announce(monkeypatch, address, release, md5="0" * 32)
        with pytest.raises(BundleError, match=r"what came is not the official file .* fetch it by hand and put it at"):
            fetch_imagenet("vgg16")
        monkeypatch.setitem(
            weights.IMAGENET,
            "vgg16",
            weights.IMAGENET["vgg16"]._replace(url=f"{address}/gone.h5"),
        )
        with pytest.raises(BundleError, match=r"gone\.h5 cannot be fetched \(404"):
            fetch_imagenet("vgg16")
    assert not list((tmp_path / "cache" / "imagenet").iterdir())


def test_what_imagenet_cannot_give():
    with pytest.raises(ConfigError, match="no official release for alexnet; known: vgg16, inception_v3"):
        load_weights(create("alexnet", input_size_px=67), "imagenet")
    with pytest.raises(ConfigError, match="the releases hold backbones only"):
        load_weights(network(1), "imagenet", strict_top=True)
    with pytest.raises(ConfigError, match="no official release for alexnet"):
        preprocessing_for("alexnet")


def test_releases_are_those_of_keras(monkeypatch, tmp_path):
    """Addresses, hashes and preprocessing, as Keras' own code has them."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    pytest.importorskip("keras")
    import inspect

    from keras.src.applications import densenet, inception_v3, resnet, vgg16

    modules = {"vgg16": vgg16, "inception_v3": inception_v3, "resnet50": resnet, "densenet121": densenet}
    modes = {"imagenet-caffe": '"caffe"', "imagenet-tf": '"tf"', "imagenet-torch": '"torch"'}
    assert weights.IMAGENET.keys() == modules.keys()
    for name, module in modules.items():
        text = inspect.getsource(module)
        official = weights.IMAGENET[name]
        assert official.md5 in text
        known = json.dumps([value for value in vars(module).values() if isinstance(value, str) and "http" in value])
        assert official.url.rpartition("/")[0] in known
        if name == "resnet50":
            assert "_weights_tf_dim_ordering_tf_kernels_notop.h5" in text
        else:
            assert official.url in known
        assert f"mode={modes[preprocessing_for(name)]}" in text
