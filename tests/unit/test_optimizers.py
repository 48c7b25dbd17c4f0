"""The optimisers take the steps of Keras."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fringewatch.training.classifier.optimizers import LEARNING_RATES, make_optimizer, time_decay

pytestmark = [
    pytest.mark.train,
    # Keras' own variables, in its own code.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"),
]

KERAS = {
    "sgd": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("RMSprop", {}),
    "adagrad": ("Adagrad", {}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "adamax": ("Adamax", {}),
    "nadam": ("Nadam", {}),
}
STEPS = 20
START = [np.array([[1.0, -2.0, 0.5], [3.0, 0.1, -0.7]], np.float32), np.array([0.3, -0.2], np.float32)]
INPUTS = np.random.default_rng(0).normal(size=(STEPS, 8, 3)).astype(np.float32)
# Gradients small enough for epsilon to matter.
SCALE = 1e-4


@pytest.fixture(scope="module")
def keras(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "torch")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield pytest.importorskip("keras")


def gradients(weight, bias, step):
    """Gradients of the mean squared output of a dense layer at a step."""
    out = torch.from_numpy(INPUTS[step]) @ weight.T + bias
    return torch.autograd.grad(SCALE * out.square().mean(), (weight, bias))


def ours(name, *, learning_rate, decay, nesterov=True):
    weights = [torch.nn.Parameter(torch.from_numpy(each.copy())) for each in START]
    optimizer = make_optimizer(name, weights, learning_rate=learning_rate, nesterov=nesterov)
    schedule = time_decay(optimizer, decay)
    for step in range(STEPS):
        for weight, gradient in zip(weights, gradients(*weights, step), strict=True):
            weight.grad = gradient
        optimizer.step()
        schedule.step()
    return [weight.detach().numpy() for weight in weights]


def theirs(keras, name, *, learning_rate, decay, **changed):
    kind, settings = KERAS[name]
    rate = keras.optimizers.schedules.InverseTimeDecay(learning_rate, 1, decay)
    optimizer = getattr(keras.optimizers, kind)(learning_rate=rate, **(settings | changed))
    weights = [keras.Variable(each) for each in START]
    for step in range(STEPS):
        values = [torch.nn.Parameter(each.value.detach().clone()) for each in weights]
        optimizer.apply(list(gradients(*values, step)), weights)
    return [each.value.detach().numpy() for each in weights]


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_twenty_steps_are_those_of_keras(keras, name, decay):
    rate = 10 * LEARNING_RATES[name] if name != "adadelta" else 1.0
    for got, wanted, start in zip(
        ours(name, learning_rate=rate, decay=decay),
        theirs(keras, name, learning_rate=rate, decay=decay),
        START,
        strict=True,
    ):
        moved = np.abs(wanted - start).max()
        assert moved > 0
        np.testing.assert_allclose(got - start, wanted - start, rtol=1e-3, atol=1e-5 * moved)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)


def test_plain_momentum_is_that_of_keras(keras):
    got = ours("sgd", learning_rate=100.0, decay=0.1, nesterov=False)
    wanted = theirs(keras, "sgd", learning_rate=100.0, decay=0.1, nesterov=False)
    for left, right in zip(got, wanted, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


def test_state_survives_saving():
    weights = [torch.nn.Parameter(torch.from_numpy(each.copy())) for each in START]
    optimizer = make_optimizer("adam", weights, learning_rate=0.1)
    other = [torch.nn.Parameter(each.detach().clone()) for each in weights]
    resumed = make_optimizer("adam", other, learning_rate=0.1)
    for step in range(6):
        if step == 3:
            resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            for left, right in zip(other, weights, strict=True):
                left.data.copy_(right.data)
        for each, those in ((optimizer, weights), (resumed, other)):
            if each is optimizer or step >= 3:
                for weight, gradient in zip(those, gradients(*those, step), strict=True):
                    weight.grad = gradient
                each.step()
    for left, right in zip(other, weights, strict=True):
        assert torch.equal(left, right)
