"""Equality with keras.applications: names, order, counts, features and weight files, both ways."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("h5py")

from fringewatch.networks.keras_weights import load_keras_weights, save_keras_weights
from fringewatch.networks.registry import count_parameters, create

pytestmark = [
    pytest.mark.train,
    # Keras' own variables, in its own code.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

REFERENCE = {
    "vgg16": "VGG16",
    "inception_v3": "InceptionV3",
    "resnet50": "ResNet50",
    "densenet121": "DenseNet121",
}
# Neither square nor a multiple of the stride: exchanged axes and wrong borders show.
HEIGHT, WIDTH = 107, 139


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield pytest.importorskip("keras")


@pytest.fixture(scope="module", params=REFERENCE)
def reference(request, keras):
    """A network of keras.applications without its top."""
    keras.backend.clear_session()
    application = getattr(keras.applications, REFERENCE[request.param])
    return application(weights=None, include_top=False, input_shape=(None, None, 3), name=request.param)


@pytest.fixture
def ours(reference):
    """The same network here, with weights of its own."""
    return create(reference.name).backbone.eval()


def randomise(keras, model):
    """Give every weight, statistics and biases too, a value that shows when it is lost or misplaced."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        values = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            *scale, beta, mean, variance = values
            normal = [rng.normal(0, 0.2, each.shape) for each in (beta, mean)]
            layer.set_weights(
                [rng.uniform(0.5, 1.5, each.shape) for each in scale]
                + normal
                + [variance * rng.uniform(0.5, 1.5, variance.shape)]
            )
        elif values:
            layer.set_weights([each if each.ndim > 1 else rng.normal(0, 0.05, each.shape) for each in values])


def images():
    return np.random.default_rng(1).uniform(-1, 1, (2, HEIGHT, WIDTH, 3)).astype(np.float32)


def features(network, inputs):
    with torch.no_grad():
        return network(torch.from_numpy(inputs).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()


def assert_equal(found, expected):
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert expected.std() > 0.01 * scale, "features without contrast prove nothing"
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)


def test_layers_and_counts_are_those_of_keras(reference, ours):
    assert [layer.name for layer in reference.layers] == list(ours.layer_names())
    counted = count_parameters(ours)
    assert counted.total == reference.count_params()
    assert counted.trainable == sum(int(np.prod(each.shape)) for each in reference.trainable_weights)


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5"])
def test_features_agree_with_weights_from_keras(keras, reference, ours, name, tmp_path):
    randomise(keras, reference)
    path = tmp_path / name
    if name == "x.h5":
        write_legacy(reference, path)
    else:
        reference.save_weights(path)
    read = load_keras_weights(ours, path)
    assert read.left_out == ()
    assert_equal(features(ours, images()), reference.predict(images(), verbose=0))


@pytest.mark.parametrize("name", ["x.weights.h5", "x.h5"])
def test_features_agree_with_weights_exported_to_keras(reference, ours, name, tmp_path):
    save_keras_weights(ours, tmp_path / name)
    reference.load_weights(tmp_path / name)
    assert_equal(features(ours, images()), reference.predict(images(), verbose=0))


def write_legacy(model, path):
    """Write the layout of the ImageNet releases with Keras' own writer, which `save` wraps in a warning."""
    import h5py
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, model)


def study_model(keras, name, top, size):
    """The study's network as it is written in Keras."""
    layers = keras.layers
    base = getattr(keras.applications, REFERENCE[name])(weights=None, include_top=False, input_shape=(size, size, 3))
    x = base.output
    if top == "pooling":
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dense(1024, activation="relu")(x)
        x = layers.Dense(200, activation="softmax")(x)
    else:
        x = layers.Flatten()(x)
    x = layers.Activation("tanh")(layers.BatchNormalization()(layers.Dense(200, kernel_regularizer="l2")(x)))
    x = layers.Activation("tanh")(layers.BatchNormalization()(layers.Dense(200)(x)))
    x = layers.BatchNormalization()(layers.Dense(2)(layers.Dropout(0.5)(x)))
    return keras.Model(base.input, layers.Softmax()(x))


@pytest.mark.parametrize(("name", "top"), [("densenet121", "pooling"), ("resnet50", "flatten")])
def test_a_whole_network_of_the_study_is_the_one_in_keras(keras, name, top, tmp_path):
    size = 64
    keras.backend.clear_session()
    reference = study_model(keras, name, top, size)
    randomise(keras, reference)
    ours = create(name, top=top, activation="tanh", input_size_px=size).eval()
    assert count_parameters(ours).total == reference.count_params()

    reference.save_weights(tmp_path / "x.weights.h5")
    load_keras_weights(ours, tmp_path / "x.weights.h5")
    inputs = images()[:, :size, :size]
    expected = reference.predict(inputs, verbose=0)
    with torch.no_grad():
        logits = ours(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    np.testing.assert_allclose(logits.softmax(dim=1).numpy(), expected, atol=1e-4)
    assert 0.001 < expected[0, 0] < 0.999, "a saturated softmax proves nothing"

    # Its backbone alone comes out of the same file.
    backbone = create(name).backbone.eval()
    read = load_keras_weights(backbone, tmp_path / "x.weights.h5")
    assert len(read.left_out) == (8 if top == "pooling" else 6)
    base = keras.Model(reference.input, reference.get_layer(backbone.layer_names()[-1]).output)
    assert_equal(features(backbone, inputs), base.predict(inputs, verbose=0))

    save_keras_weights(ours, tmp_path / "back.weights.h5")
    randomise(keras, reference)
    reference.load_weights(tmp_path / "back.weights.h5")
    np.testing.assert_allclose(reference.predict(inputs, verbose=0), expected, atol=1e-6)


def test_the_penalty_is_the_regulariser_of_keras(keras):
    keras.backend.clear_session()
    reference = study_model(keras, "densenet121", "flatten", 32)
    ours = create("densenet121", top="flatten", input_size_px=32)
    kernel = np.random.default_rng(2).normal(size=(1024, 200)).astype(np.float32)
    dense = next(layer for layer in reference.layers if isinstance(layer, keras.layers.Dense))
    dense.set_weights([kernel, np.zeros(200, np.float32)])
    with torch.no_grad():
        ours.top.hidden_1.weight.copy_(torch.from_numpy(kernel.T))
    assert ours.penalty().item() == pytest.approx(sum(reference.losses).item(), rel=1e-5)
