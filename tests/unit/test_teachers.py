"""The mean answer of finished models, as training sees it."""

import hashlib
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
onnx = pytest.importorskip("onnx")

from fringewatch.encoding import Encoding
from fringewatch.errors import BundleError, ConfigError
from fringewatch.models import find_bundle, load_bundle, read_card
from fringewatch.training.cache import Samples, at_stride
from fringewatch.training.data import SampleBatches
from fringewatch.training.module import MapModule, peak_logit
from fringewatch.training.teachers import ask, identify, mix

pytestmark = pytest.mark.train


class Blank(torch.nn.Module):
    """Says the same of everything."""

    stride = 4

    def __init__(self):
        super().__init__()
        self.logit = torch.nn.Parameter(torch.tensor(0.3))

    def forward(self, phase):
        count, _, height, width = phase.shape
        return self.logit.expand(count, 1, height // 4, width // 4), self.logit.expand(count, 2)


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(0)
    return Samples(
        phase=rng.integers(0, 256, (10, 64, 64)).astype(np.uint8),
        coverage=rng.integers(0, 256, (10, 16, 16)).astype(np.uint8),
        label=(np.arange(10) % 2 == 0).astype(np.uint8),
        kind=np.array(["quiet"] * 10),
        site=np.array([""] * 10),
    )


@pytest.fixture
def answers(samples, tmp_path):
    return ask(("fringenet",), samples, folder=tmp_path)


def test_answer_of_one_is_what_it_says(samples, answers):
    first = SampleBatches(samples, Encoding(), batch_size=10, augment=False).batch(0)
    logits = torch.from_numpy(load_bundle().logits(np.ascontiguousarray(first.phase.numpy()))[0][:, 0])
    assert np.abs(answers.coverage / 255 - torch.sigmoid(logits).numpy()).max() <= 0.5 / 255 + 1e-6
    assert np.allclose(answers.label, torch.sigmoid(peak_logit(logits, first.valid)).numpy(), atol=1e-6)


def test_answer_of_several_is_the_mean_of_their_logits(samples, answers, tmp_path):
    def other(name, shift):
        """Write a bundle that says `shift` more than the default one."""
        folder = tmp_path / name
        shutil.copytree(find_bundle("fringenet"), folder)
        network = onnx.load(folder / "model.onnx")
        said = next(node for node in network.graph.node if "map" in node.output)
        said.output[0] = "unshifted"
        network.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shift, np.float32), "shift"))
        network.graph.node.append(onnx.helper.make_node("Add", ["unshifted", "shift"], ["map"]))
        onnx.save(network, folder / "model.onnx")
        card = json.loads((folder / "card.json").read_text())
        card["sha256"]["model.onnx"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        card["default_precision"] = "float32"
        (folder / "card.json").write_text(json.dumps(card))
        return str(folder)

    alone = ask((other("more", 2.0),), samples, folder=tmp_path)
    both = ask((other("less", 0.5), other("much more", 3.5)), samples, folder=tmp_path)
    # Rounded to eight bits, and the scene logit is the largest mean of 3 x 3, which shifts with the map.
    assert np.abs(both.coverage.astype(int) - alone.coverage).max() <= 1
    assert np.allclose(both.label, alone.label, atol=1e-5)
    # A shift of 2 is a factor of 7 in small probabilities, less what 8 bits make of noise on some processors.
    assert np.all(both.label > 1.5 * answers.label)


def test_answers_are_kept_and_taken_for_nothing_else(samples, answers, tmp_path, monkeypatch):
    kept = list(tmp_path.rglob("*.npz"))
    assert len(kept) == 1
    monkeypatch.setattr("fringewatch.training.teachers._mean", lambda *_: pytest.fail("asked again"))
    again = ask(("fringenet",), samples, folder=tmp_path)
    assert np.array_equal(again.coverage, answers.coverage)
    assert np.array_equal(again.label, answers.label)
    monkeypatch.undo()
    ask(("fringenet",), samples._replace(phase=255 - samples.phase), folder=tmp_path)
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_coarser_maps_are_means_of_finer_ones(samples, tmp_path):
    answers = ask(("fringenet",), at_stride(samples, 8), folder=tmp_path)
    assert answers.coverage.shape == (10, 8, 8)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_losses_mix_labels_and_answer(samples, answers, share):
    taught, target = mix(samples, answers, share)
    batches = SampleBatches(taught, Encoding(), batch_size=10, augment=False, target=target)
    module = MapModule(Blank(), batches, batches, learning_rate=1e-3, weight_decay=0.0, positive_weight=1.0)
    first = batches.batch(0)
    losses, _ = module._losses(first)
    # Cross-entropy is linear in what is to be learnt.
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    said = torch.full_like(first.coverage, 0.3)
    parts = [
        entropy(said, torch.from_numpy(part.coverage).float() / 255, weight=first.valid, reduction="sum")
        for part in (samples, answers)
    ]
    expected = ((1 - share) * parts[0] + share * parts[1]) / first.valid.sum()
    assert float(losses.detach()[0]) == pytest.approx(float(expected), abs=0.3 * 0.5 / 255)
    peaks = [entropy(torch.full((10,), 0.3), torch.from_numpy(part.label).float()) for part in (samples, answers)]
    assert float(losses.detach()[1]) == pytest.approx(float((1 - share) * peaks[0] + share * peaks[1]), rel=1e-5)


def test_augmented_batches_carry_the_target_of_each_sample(samples):
    # The target says which sample it is of; its code 0 pixels stay where no turn can take them.
    target = np.arange(10, dtype=np.float32) / 10
    batches = SampleBatches(samples, Encoding(), batch_size=5, augment=True, target=target)
    for epoch in range(2):
        for number in range(2):
            batch = batches.batch(number, epoch=epoch)
            which = torch.round(batch.target * 10).long()
            assert torch.equal(batch.label, torch.from_numpy(samples.label.astype(np.int64))[which])
            sums = torch.from_numpy(samples.coverage.astype(np.float32) / 255).sum(dim=(1, 2))
            assert torch.allclose(batch.coverage.sum(dim=(1, 2)), sums[which], rtol=1e-4)


def test_a_card_names_teachers_wherever_they_lie(tmp_path):
    folder = find_bundle("fringenet")
    shutil.copytree(folder, tmp_path / "elsewhere")
    card = read_card(folder)
    expected = f"fringenet {card.version} ({card.sha256['model.int8.onnx'][:12]})"
    assert identify(["fringenet", str(tmp_path / "elsewhere")]) == [expected, expected]


def test_teachers_that_do_not_fit_are_refused(samples, tmp_path):
    finer = samples._replace(coverage=np.zeros((10, 32, 32), np.uint8))
    with pytest.raises(ConfigError, match="map pixels of 4 x 4, the network to train of 2 x 2"):
        ask(("fringenet",), finer, folder=tmp_path)
    with pytest.raises(BundleError, match="no such model"):
        ask(("fringnet",), samples, folder=tmp_path)
