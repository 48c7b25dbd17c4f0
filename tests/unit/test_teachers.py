"""The mean answer of finished models, as training sees it."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from fringewatch.encoding import Encoding
from fringewatch.errors import BundleError, ConfigError
from fringewatch.models import find_bundle, load_bundle, read_card
from fringewatch.training.cache import Samples
from fringewatch.training.data import SampleBatches
from fringewatch.training.module import MapModule, peak_logit
from fringewatch.training.teachers import Teachers, identify

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
def batch():
    rng = np.random.default_rng(0)
    samples = Samples(
        phase=rng.integers(0, 256, (10, 64, 64)).astype(np.uint8),
        coverage=rng.integers(0, 256, (10, 16, 16)).astype(np.uint8),
        label=np.arange(10) % 2 == 0,
        kind=np.array(["quiet"] * 10),
        site=np.array([""] * 10),
    )
    return SampleBatches(samples, Encoding(), batch_size=10, augment=False)


def test_answer_is_the_mean_of_the_logits(batch):
    first = batch.batch(0)
    bundles = [load_bundle(precision=precision) for precision in ("int8", "float32")]
    alone = [Teachers(("fringenet",), Encoding(), stride=4, peak=peak_logit)(first.phase, first.valid)]
    logits = torch.from_numpy(bundles[0].logits(np.ascontiguousarray(first.phase.numpy()))[0][:, 0])
    assert torch.allclose(alone[0].coverage, torch.sigmoid(logits), atol=1e-6)
    assert torch.allclose(alone[0].label, torch.sigmoid(peak_logit(logits, first.valid)), atol=1e-6)
    # Of two that agree the mean is what each says.
    twice = Teachers(("fringenet", "fringenet"), Encoding(), stride=4, peak=peak_logit)(first.phase, first.valid)
    assert torch.allclose(twice.coverage, alone[0].coverage, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_losses_mix_labels_and_answer(batch, share):
    teachers = Teachers(("fringenet",), Encoding(), stride=4, peak=peak_logit)
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0, "positive_weight": 1.0}
    module = MapModule(Blank(), batch, batch, **settings, teachers=teachers, teachers_share=share)
    first = batch.batch(0)
    losses, _ = module._losses(first, teachers=teachers)
    answer = teachers(first.phase, first.valid)
    # Cross-entropy is linear in what is to be learnt.
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    said = torch.full_like(first.coverage, 0.3)
    parts = [entropy(said, target, weight=first.valid, reduction="sum") for target in (first.coverage, answer.coverage)]
    expected = ((1 - share) * parts[0] + share * parts[1]) / first.valid.sum()
    assert float(losses.detach()[0]) == pytest.approx(float(expected), rel=1e-5)
    peaks = [entropy(torch.full((10,), 0.3), target) for target in (first.label.float(), answer.label)]
    assert float(losses.detach()[1]) == pytest.approx(float((1 - share) * peaks[0] + share * peaks[1]), rel=1e-5)


def test_a_card_names_teachers_wherever_they_lie(tmp_path):
    folder = find_bundle("fringenet")
    shutil.copytree(folder, tmp_path / "elsewhere")
    card = read_card(folder)
    expected = f"fringenet {card.version} ({card.sha256['model.int8.onnx'][:12]})"
    assert identify(["fringenet", str(tmp_path / "elsewhere")]) == [expected, expected]


def test_teachers_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="stride"):
        Teachers(("fringenet",), Encoding(), stride=2, peak=peak_logit)
    with pytest.raises(BundleError, match="no such model"):
        Teachers(("fringnet",), Encoding(), stride=4, peak=peak_logit)
