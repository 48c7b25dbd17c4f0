"""From a trained classifier to a bundle that detection runs and training can start from."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("onnxscript")

from fringewatch.detect import Detector
from fringewatch.encoding import Encoding
from fringewatch.errors import TrainingError
from fringewatch.interferogram import make_interferogram
from fringewatch.models import load_bundle
from fringewatch.networks import registry
from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import Add, BatchNorm2d, Conv2d, Conv2dReLU
from fringewatch.networks.registry import NetworkConfig, build, create
from fringewatch.networks.sliding import Sliding
from fringewatch.networks.weights import load_weights
from fringewatch.scan import scan, scan_windows
from fringewatch.training.calibrate_patches import PatchScores, calibrate_patches, score_patches
from fringewatch.training.export import Validation, export_classifier, export_onnx, fold_batch_norms

pytestmark = pytest.mark.train

SETTINGS = NetworkConfig(name="resnet50", input_size_px=128, dense=(8, 6), dense_activation="relu", hidden=(5,))
ENCODING = Encoding(kind="zero-centred")


class Small(LayerGraph):
    """Stands in for ResNet50, whose export takes ten seconds; stride 32, with every case of a batch norm."""

    title = "Small"
    channels = 6

    def __init__(self):
        super().__init__()
        x = self.add("first", Conv2d(3, 4, 5, stride=4, padding=2, bias=False), INPUT)
        x = self.add("first_bn", BatchNorm2d(4, scale=False), x)  # folds
        x = self.add("relu", torch.nn.ReLU(inplace=True), x)
        shared = self.add("shared", Conv2d(4, 6, 3, stride=2, padding=1), x)
        one = self.add("one_bn", BatchNorm2d(6), shared)  # stays: the convolution feeds another layer, too
        x = self.add("sum", Add(), one, shared)
        x = self.add("after_sum_bn", BatchNorm2d(6), x)  # stays: no convolution before it
        x = self.add("rectified", Conv2dReLU(6, 6, 3, padding=1), x)
        x = self.add("rectified_bn", BatchNorm2d(6), x)  # stays: the convolution rectifies
        self.add("pool", torch.nn.AvgPool2d(4), x)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(registry._BACKBONES, "resnet50", Small)


def trained(settings=SETTINGS, seed=0):
    """A network that looks trained: statistics and scales of their own, and logits that spread over patches."""
    torch.manual_seed(seed)
    network = build(settings)
    with torch.no_grad():
        for key, values in network.state_dict().items():
            if key.endswith("running_var"):
                values.uniform_(0.5, 1.5)
            elif key.endswith(("running_mean", "bias")):
                values.normal_(0, 0.2)
    return network.eval()


def patches(number, size=128, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    return [
        np.angle(np.exp(1j * rng.uniform(0, 30) * (rows + columns**2) + 0.3j * rng.standard_normal(rows.shape))).astype(
            np.float32
        )
        for _ in range(number)
    ]


def norms(network):
    return {name for name, module in network.named_children() if isinstance(module, torch.nn.BatchNorm2d)}


def test_norms_fold_where_only_a_convolution_feeds_them(small):
    backbone = trained().backbone
    folded = fold_batch_norms(backbone)
    assert norms(backbone) - norms(folded) == {"first_bn"}
    phase = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(folded(phase), backbone(phase), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "left"), [("resnet50", 0), ("inception_v3", 0), ("densenet121", 62), ("vgg16", 0)])
def test_norms_of_the_study_that_stay(name, left):
    """All of ResNet50 and InceptionV3 fold; of DenseNet121 only those between two convolutions of a block."""
    assert len(norms(fold_batch_norms(create(name).backbone))) == left


@pytest.fixture(scope="module")
def bundle_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._BACKBONES, "resnet50", Small)
        network = trained()
        phases = patches(40)
        # Labels that follow the network's own answer, so that there is something to calibrate.
        logits = score_patches(Sliding(network), phases, [0] * 40, ENCODING).patch_logit
        labels = logits + np.random.default_rng(0).normal(0, 0.3 * logits.std(), 40) > np.median(logits)
        return export_classifier(
            network,
            tmp_path_factory.mktemp("runs") / "volcano",
            network=SETTINGS,
            name="volcano",
            encoding=ENCODING,
            validation=Validation(phases, labels),
            description="A test.",
            training={"seed": 0},
            scores={"history": {"epochs": 3}},
        )


def test_the_bundle_says_what_it_is(bundle_folder):
    card = load_bundle(bundle_folder).card
    assert (card.name, card.architecture, card.patch_px) == ("volcano", "resnet50", 128)
    assert NetworkConfig.build(card.architecture_settings) == SETTINGS
    assert (card.stride, card.multiple, card.encoding) == (32, 32, ENCODING)
    assert set(card.sha256) == {"model.onnx", "weights.pt"}
    assert card.default_precision == "float32"
    assert card.training == {"seed": 0}
    assert card.scores["history"] == {"epochs": 3}
    assert 0.8 < card.scores["validation"]["auroc"] <= 1
    assert card.scores["validation"]["scene_false_alarm_rate"] <= card.thresholds.false_alarm_rate == 0.1
    assert "background patches of the validation set" in card.thresholds.false_alarm_set
    assert card.patch_calibration.fitted_on.startswith("40 validation patches, of which ")
    assert card.calibration.fitted_on.startswith("40 of 40 validation patches, of which ")
    assert card.calibration.fitted_on.endswith("with their mirror image around them")
    assert min(card.calibration.slope, card.patch_calibration.slope) > 0.1


def test_the_bundle_runs_what_was_trained(bundle_folder):
    """Through ONNX and the scan: the score of a patch is the classifier's, at the middle of its map."""
    bundle = load_bundle(bundle_folder, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._BACKBONES, "resnet50", Small)
        network = trained()
    for phase in patches(3, seed=5):
        with torch.inference_mode():
            logits = network(torch.from_numpy(ENCODING(phase[None])))[0]
        expected = (logits[1] - logits[0]).item()
        scene = xr.DataArray(phase, dims=("y", "x"))
        assert scan(scene, bundle).logits[2, 2] == pytest.approx(expected, abs=1e-4)
        np.testing.assert_allclose(scan_windows(scene, bundle).logits, expected, atol=1e-3)
    assert scan(xr.DataArray(np.zeros((200, 333), np.float32), dims=("y", "x")), bundle).logits.shape == (7, 11)


def test_calibration_fits_what_detection_computes(bundle_folder, monkeypatch):
    """Scores of patches in torch, on which calibration rests, are those that scanning gives."""
    monkeypatch.setitem(registry._BACKBONES, "resnet50", Small)
    phases = patches(5, seed=7)
    phases[1][:70] = np.nan
    scores = score_patches(Sliding(trained()), phases, [0, 1, 1, 0, 1], ENCODING, batch_size=2)
    bundle = load_bundle(bundle_folder, threads=1)
    scanned = [scan(xr.DataArray(phase, dims=("y", "x")), bundle) for phase in phases]
    np.testing.assert_allclose(scores.patch_logit, [each.logits[2, 2] for each in scanned], atol=1e-4)
    np.testing.assert_allclose(scores.scene_logit, [each.scene_logit for each in scanned], atol=1e-4)
    # The same window of a larger scene: two cells further, for the mirror image around it.
    around = [scan(xr.DataArray(np.pad(phase, 64, mode="symmetric"), dims=("y", "x")), bundle) for phase in phases]
    np.testing.assert_array_equal(scores.mapped, np.arange(5))
    np.testing.assert_allclose(scores.map_logit, [each.logits[4, 4] for each in around], atol=1e-4)
    assert np.abs(scores.map_logit - scores.patch_logit).max() > 1e-3


def test_some_patches_are_scored_within_a_scene(small):
    """Of each class its share, whatever their order; the same ones again."""
    labels = [1] * 3 + [0] * 9
    scores = score_patches(Sliding(trained()), patches(12), labels, ENCODING, most_mapped=4)
    chosen = np.array(labels)[scores.mapped]
    assert (chosen.sum(), chosen.size, scores.map_logit.size) == (1, 4, 4)
    again = score_patches(Sliding(trained()), patches(12), labels, ENCODING, most_mapped=4)
    np.testing.assert_array_equal(scores.mapped, again.mapped)


def test_detection_takes_the_calibration_of_what_it_looks_at(bundle_folder):
    """A patch by itself, or windows cut out, are what `patch_calibration` was fitted on; a scene's map is not."""
    card = load_bundle(bundle_folder, threads=1).card
    assert card.of_patches().calibration == card.patch_calibration != card.calibration
    patch = make_interferogram(patches(1, seed=9)[0], wavelength_m=0.0555)
    scene = make_interferogram(np.pad(patch["phase"].values, 64, mode="symmetric"), wavelength_m=0.0555)
    shared, windows = (Detector(bundle_folder, threads=1, windows=windows) for windows in (False, True))
    assert shared.examine(patch).card.calibration == windows.examine(patch).card.calibration == card.patch_calibration
    assert windows.examine(scene).card.calibration == card.patch_calibration
    assert shared.examine(scene).card == card
    # One window: its probability is that of its patch.
    alone, cut = shared.examine(patch).scan.logits[2, 2], windows.examine(patch)
    assert cut.max_probability == pytest.approx(float(card.patch_calibration(alone)), abs=1e-4)


def test_the_bundle_is_a_start_for_training(bundle_folder, monkeypatch):
    monkeypatch.setitem(registry._BACKBONES, "resnet50", Small)
    target = trained(seed=1)
    load_weights(target, bundle_folder, strict_top=True)
    for key, values in trained().state_dict().items():
        assert torch.equal(target.state_dict()[key], values), key


def test_no_validation_no_calibration(small, tmp_path):
    folder = export_classifier(
        trained(), tmp_path / "bare", network=SETTINGS, name="bare", encoding=ENCODING, validation=None
    )
    card = load_bundle(folder).card
    assert (card.calibration.slope, card.calibration.offset, card.thresholds.scene) == (1, 0, 0.5)
    assert card.scores == {}


def test_patches_of_any_size_are_padded_to_the_stride(small):
    settings = SETTINGS.model_copy(update={"input_size_px": 100})
    network = Sliding(trained(settings))
    scores = score_patches(network, patches(2, size=100), [0, 1], ENCODING)
    assert scores.map_logit.shape == scores.scene_logit.shape == scores.patch_logit.shape == (2,)
    assert np.isfinite(scores.scene_logit).all()
    assert np.isfinite(scores.map_logit).all()


def test_calibrated_probabilities_are_the_observed_shares():
    """Logits drawn with known odds: the fits return slopes and offsets, the threshold keeps its rate."""
    rng = np.random.default_rng(0)
    logit = rng.normal(0, 2, 20_000)
    label = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logit + 1)))
    mapped = np.arange(1, 20_000, 2)
    (of_map, of_patch, scene), thresholds, figures = calibrate_patches(
        PatchScores(logit, 3 * logit, logit[mapped] - 0.8, mapped), label, false_alarm_rate=0.05
    )
    assert (of_patch.slope, of_patch.offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(1, abs=0.05))
    assert (of_map.slope, of_map.offset) == (pytest.approx(0.5, abs=0.05), pytest.approx(1.4, abs=0.08))
    assert scene.slope == pytest.approx(of_patch.slope / 3, rel=1e-3)
    assert np.mean(scene(3 * logit[~label].astype(np.float32)) >= thresholds.scene) == pytest.approx(0.05, abs=0.001)
    assert figures["scene_false_alarm_rate"] <= 0.05
    assert figures["auroc"] == pytest.approx(figures["scene_auroc"], abs=1e-3)


@pytest.mark.parametrize("label", [0, 1])
def test_calibration_needs_both_classes(label):
    with pytest.raises(TrainingError, match=rf"{4 * label} of 4 patches deform; calibration needs patches of both"):
        calibrate_patches(PatchScores(*[np.arange(4.0)] * 3, np.arange(4)), [label] * 4)


def test_a_network_that_onnx_runs_otherwise_is_refused(small, tmp_path, monkeypatch):
    import onnxruntime

    class Off(onnxruntime.InferenceSession):
        def run(self, *arguments):
            return [values + 0.01 for values in super().run(*arguments)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Off)
    with pytest.raises(TrainingError, match=r"output 'map' of the exported network differs .* by 0\.01"):
        export_onnx(Sliding(trained()), tmp_path / "model.onnx", multiple=32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("alexnet", {}),
        ("vgg16", {}),
        ("inception_v3", {}),
        ("resnet50", {}),
        ("resnet50", {"top": "flatten"}),
        ("densenet121", {}),
    ],
)
def test_every_network_of_the_study_becomes_a_bundle(name, options, tmp_path):
    settings = NetworkConfig(name=name, **options)
    network = trained(settings)
    size = network.input_size_px
    folder = export_classifier(network, tmp_path / name, network=settings, name=name, encoding=Encoding(kind="grey"))
    bundle = load_bundle(folder)
    phase = np.random.default_rng(0).uniform(-3, 3, (1, size, size)).astype(np.float32)
    inputs = bundle.card.encoding(phase)
    with torch.inference_mode():
        logits = network(torch.from_numpy(inputs))[0]
    middle = size // 64
    found = bundle.logits(inputs)[0][0, 0, middle, middle]
    assert found == pytest.approx((logits[1] - logits[0]).item(), abs=1e-3, rel=1e-4)
