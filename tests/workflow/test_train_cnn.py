"""Training the study's CNNs on labelled patches, with a network small enough for tests."""

import csv
import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from torch import nn

from fringewatch import cli, open_interferogram
from fringewatch.detect import Detector
from fringewatch.encoding import Encoding
from fringewatch.errors import BundleError, ConfigError, OutputError, ProductError, TrainingError
from fringewatch.files import sole_use
from fringewatch.networks import registry
from fringewatch.networks.graph import INPUT, LayerGraph
from fringewatch.networks.layers import BatchNorm2d, Conv2d
from fringewatch.networks.registry import create
from fringewatch.networks.weights import IMAGENET, save_weights
from fringewatch.patches import Patch, limit_sides, resample, write_manifest, write_patch
from fringewatch.training.classifier import ClassifierConfig, run
from fringewatch.training.classifier import data as data_module
from fringewatch.training.classifier import fit as fit_module
from fringewatch.training.classifier.batches import Batch, epoch_batches, make_buckets
from fringewatch.training.classifier.data import Batcher, PatchArrays, Sides, read_arrays
from fringewatch.training.classifier.module import ClassifierModule, class_weights
from fringewatch.training.classifier.origin import encoding_kind
from fringewatch.training.codes import Phases, decode_codes, encode_codes

pytestmark = pytest.mark.train

SIZE = 64


class Tiny(LayerGraph):
    """Stride 32, as all networks of the study, in three layers."""

    title = "Tiny"
    channels = 16

    def __init__(self):
        super().__init__()
        x = self.add("conv1", Conv2d(3, 16, 3, stride=2, padding=1), INPUT)
        x = self.add("bn1", BatchNorm2d(16), x)
        x = self.add("relu1", nn.ReLU(inplace=True), x)
        x = self.add("pool1", nn.MaxPool2d(4, 4), x)
        x = self.add("conv2", Conv2d(16, 16, 4, stride=4), x)
        self.add("relu2", nn.ReLU(inplace=True), x)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Let the name resnet50 build the tiny network."""
    monkeypatch.setitem(registry._BACKBONES, "resnet50", Tiny)


def fringes(rng, *, deforming, size=SIZE):
    ramp = 0.6 * np.arange(size) if deforming else np.zeros(size)
    phase = np.angle(np.exp(1j * (ramp + rng.normal(0, 0.3, (size, size)) + rng.uniform(-3, 3))))
    phase[:4] = np.nan
    return phase.astype(np.float32)


def write_set(root, *, count=64, size=SIZE, labels=("none", "deformation"), sites=8):
    rng = np.random.default_rng(0)
    patches = []
    for number in range(count):
        label = number % len(labels)
        folder = root / labels[label]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:03d}.png"
        write_patch(path, fringes(rng, deforming=bool(label), size=size))
        patches.append(Patch(path, label, site=f"site{number // 2 % sites}"))
    return patches


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("patches")
    write_manifest(root / "manifest.csv", write_set(root))
    return root


def settings(data, out, **changed):
    options = {
        "network": "resnet50",
        "data": data,
        "out": out,
        "input_size_px": SIZE,
        "dense_activation": "relu",
        "encoding": "cos-sin-valid",
        "epochs": 2,
        "batch_size": 16,
        "learning_rate": 0.01,
        "norm_momentum": 0.5,
        "precision": "32-true",
        "accelerator": "cpu",
        "workers": 1,
        "export": False,
    }
    return ClassifierConfig.build(options | changed)


def rows(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def weights(out):
    return torch.load(out / "weights.pt", weights_only=True)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """Settings and result of a run with all its outputs; tests copy its folder before they change it."""
    config = settings(data, tmp_path_factory.mktemp("finished") / "run", epochs=6, export=True, name="tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._BACKBONES, "resnet50", Tiny)
        return config, run(config)


@pytest.fixture
def copied(finished, tmp_path):
    """Settings to resume a copy of the finished run."""
    config, _ = finished
    shutil.copytree(config.out, tmp_path / "copy")
    return config.model_copy(update={"out": tmp_path / "copy", "resume": True})


def test_a_run_learns_and_leaves_history_and_scores(finished):
    config, result = finished
    assert result.val_accuracy > 0.9
    assert result.val_auroc > 0.95
    assert (result.n_train, result.n_validation) == (48, 16)
    assert result.images_per_second > 0
    assert result.seconds_per_epoch > 0
    assert result.counts.total == sum(each.numel() for each in weights(config.out).values() if each.ndim)
    history = rows(result.history)
    assert [row["epoch"] for row in history] == ["0", "1", "2", "3", "4", "5"]
    assert {
        "train_loss",
        "val_loss",
        "train_accuracy",
        "val_accuracy",
        "val_auroc",
        "val_precision",
        "val_recall",
    } <= set(history[0])
    # The learning rate of the next step: 3 steps in each of 6 epochs.
    assert float(history[-1]["learning_rate"]) == pytest.approx(0.01 / (1 + 18e-6), rel=1e-9)
    assert (config.out / "history.png").read_bytes().startswith(b"\x89PNG")
    scores = rows(config.out / "validation.csv")
    right = [row["label"] == row["predicted"] for row in scores]
    assert np.mean(right) == pytest.approx(result.val_accuracy)
    assert not (config.out / "checkpoints").exists()
    stored = json.loads((config.out / "result.json").read_text())
    assert stored["val_accuracy"] == result.val_accuracy
    assert "accuracy" in result.describe()


def test_the_bundle_detects_and_says_nothing_of_the_machine(finished):
    import xarray as xr

    from fringewatch.models import load_bundle
    from fringewatch.scan import scan

    config, result = finished
    bundle = load_bundle(result.bundle)
    assert bundle.card.patch_px == SIZE
    assert bundle.card.encoding == Encoding(kind="cos-sin-valid")
    assert bundle.card.training["sites"] == {"train": 6, "validation": 2}
    assert str(config.out.parent) not in (result.bundle / "card.json").read_text()
    rng = np.random.default_rng(5)
    found = [
        float(np.nanmax(scan(xr.DataArray(fringes(rng, deforming=each, size=128), dims=("y", "x")), bundle).logits))
        for each in (True, False)
    ]
    assert found[0] > found[1]


def test_the_command_line_runs_it(data, tmp_path, capsys):
    code = cli.main(
        [
            *("train-cnn", "resnet50", "--data", str(data), "--out", str(tmp_path / "run")),
            *("--input-size-px", str(SIZE), "--epochs", "1", "--accelerator", "cpu", "--no-export"),
            *("--class-weights", "1", "2", "--freeze", "2"),
        ]
    )
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert "accuracy:" in captured.out
    assert "epoch 1/1" in captured.err
    assert "class_weights:\n- 1.0\n- 2.0\n" in (tmp_path / "run" / "train.yaml").read_text()


def write_varied_set(root, *, count=48, sites=8):
    """Patches of 40 to 99 pixels, every two of one size."""
    rng = np.random.default_rng(0)
    patches = []
    for number in range(count):
        folder = root / ("none", "deformation")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:03d}.png"
        if number % 2 == 0:
            height, width = rng.integers(40, 100, 2)
        write_patch(path, fringes(rng, deforming=bool(number % 2), size=100)[:height, :width])
        patches.append(Patch(path, number % 2, site=f"site{number // 2 % sites}"))
    return patches


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    root = tmp_path_factory.mktemp("varied")
    write_manifest(root / "manifest.csv", write_varied_set(root))
    return root


MANY_SIZES = {"fit": "none", "top": "spp", "pyramid": (1, 2), "hidden": (8,), "batch_size": 8}


def stop_midway(config):
    """Run until the second step of the third epoch, as if the user had stopped it there."""
    steps = ClassifierModule.training_step

    def stop_in_the_third_epoch(module, number):
        if module.current_epoch == 2 and number == 1:
            raise KeyboardInterrupt
        return steps(module, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifierModule, "training_step", stop_in_the_third_epoch)
        with pytest.raises(KeyboardInterrupt):
            run(config)


@pytest.mark.parametrize("sizes", ["one", "many"])
def test_interrupted_and_resumed_run_ends_like_an_uninterrupted_one(sizes, data, varied, tmp_path):
    patches, options = (data, {}) if sizes == "one" else (varied, MANY_SIZES)
    config = settings(patches, tmp_path / "whole", epochs=3, optimizer="adam", decay=0.01, **options)
    run(config)
    halved = config.model_copy(update={"out": tmp_path / "halved"})
    stop_midway(halved)
    assert (halved.out / "checkpoints" / "last.ckpt").is_file()
    run(halved.model_copy(update={"resume": True}))
    for name, value in weights(config.out).items():
        assert torch.equal(value, weights(halved.out)[name]), name
    measured = {"seconds", "images_per_second", "peak_memory_bytes"}
    whole, resumed = (
        [{key: value for key, value in row.items() if key not in measured} for row in rows(out / "history.csv")]
        for out in (config.out, halved.out)
    )
    assert whole == resumed


@pytest.fixture(scope="module")
def of_many_sizes(varied, tmp_path_factory):
    """A run on patches of many sizes, with its bundle."""
    config = settings(varied, tmp_path_factory.mktemp("sizes") / "run", epochs=4, export=True, **MANY_SIZES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._BACKBONES, "resnet50", Tiny)
        return config, run(config)


def test_patches_of_many_sizes_train_a_pyramid_and_are_scored_in_their_order(of_many_sizes):
    config, result = of_many_sizes
    assert result.n_train + result.n_validation == 48
    assert result.val_auroc > 0.9
    network = create("resnet50", top="spp", pyramid=(1, 2), hidden=(8,), input_size_px=SIZE)
    network.load_state_dict(weights(config.out))
    _, validation = read_arrays(config.data, size_px=SIZE, fit="none")
    for patch, codes, row in zip(
        validation.patches, validation.codes, rows(config.out / "validation.csv"), strict=True
    ):
        assert row["file"] == patch.columns["file"]
        phase = torch.from_numpy(Encoding()(decode_codes()[codes])[None])
        with torch.inference_mode():
            logits = network.eval()(phase)[0]
        assert float(row["logit"]) == pytest.approx((logits[1] - logits[0]).item(), abs=1e-4)


def test_a_bundle_of_many_sizes_scores_a_crop_whole_and_a_scene_by_windows(of_many_sizes):
    import xarray as xr

    from fringewatch.models import load_bundle
    from fringewatch.scan import scan

    config, result = of_many_sizes
    bundle = load_bundle(result.bundle)
    largest = bundle.card.crop_px[1]
    assert bundle.card.crop_px[0] == 32
    assert 90 < largest < 100
    network = create("resnet50", top="spp", pyramid=(1, 2), hidden=(8,), input_size_px=SIZE)
    network.load_state_dict(weights(config.out))
    rng = np.random.default_rng(9)
    for size in [(largest, 41), (33, 77), (5, 60), (1, 1)]:
        crop = fringes(rng, deforming=True, size=largest)[-size[0] :, : size[1]]
        said = scan(xr.DataArray(crop, dims=("y", "x")), bundle)
        with torch.inference_mode():
            logits = network.eval()(torch.from_numpy(Encoding()(limit_sides(crop, 32, largest))[None]))[0]
        assert said.shape == size
        assert said.logits.shape == (-(-size[0] // 32), -(-size[1] // 32))
        np.testing.assert_allclose(said.logits, (logits[1] - logits[0]).item(), atol=1e-4)
        assert said.scene_logit == pytest.approx(said.logits[0, 0], abs=1e-6)
    empty = scan(xr.DataArray(np.full((50, 60), np.nan, np.float32), dims=("y", "x")), bundle)
    assert empty.scene_logit == -np.inf
    scene = scan(xr.DataArray(fringes(rng, deforming=True, size=largest + 60), dims=("y", "x")), bundle)
    assert scene.logits.std() > 0


def test_tops_of_one_size_take_no_patches_of_many(data, tmp_path):
    with pytest.raises(ConfigError, match="the top 'flatten' takes patches of one size; choose --top spp or pooling"):
        settings(data, tmp_path, fit="none", top="flatten")
    with pytest.raises(ConfigError, match="the top 'original' takes patches of one size"):
        settings(data, tmp_path, fit="none", network="alexnet")


def test_examples_are_nested_balanced_and_leave_validation_alone(data):
    def files(part):
        return {patch.path.name for patch in part.patches}

    whole, held_out = read_arrays(data, size_px=SIZE, seed=3)
    few, same = read_arrays(data, size_px=SIZE, examples=7, seed=3)
    more, _ = read_arrays(data, size_px=SIZE, examples=20, seed=3)
    assert np.bincount(few.label).tolist() == [3, 4]
    assert np.bincount(more.label).tolist() == [10, 10]
    assert files(few) < files(more) < files(whole)
    assert files(same) == files(held_out)
    others, _ = read_arrays(data, size_px=SIZE, examples=7, seed=4)
    assert files(others) != files(few)
    with pytest.raises(TrainingError, match=r"takes 50 training patches of 'none', and there are \d+; ask for \d+"):
        read_arrays(data, size_px=SIZE, examples=100)


def test_small_sets_are_passed_over_until_the_steps_are_made(data, tmp_path):
    config = settings(data, tmp_path / "run", examples=20, least_steps=7, epochs=1)
    run(config)
    train, validation = read_arrays(data, size_px=SIZE, examples=20)
    batchers = [Batcher(part, Encoding(), augment=True) for part in (train, validation)]
    module = ClassifierModule(
        create("resnet50"), config, *batchers, weights=None, classes=2, validation_patches=validation.patches
    )
    # 16 and 4 patches are a pass.
    assert len(module.train_batches) == 8
    assert module.patches_per_epoch == 80
    orders = [tuple(batch.indices) for batch, _ in module._order(0)]
    assert len(set(orders)) == 8
    assert {number for _, number in module._order(1)} == {4, 5, 6, 7}


def test_sizes_beyond_the_limits_are_told(tmp_path, capsys):
    patches = write_varied_set(tmp_path, count=8)
    write_patch(patches[0].path, np.zeros((1, 1), np.float32))
    write_patch(patches[1].path, np.zeros((2, 700), np.float32))
    write_manifest(tmp_path / "manifest.csv", patches)
    train, validation = read_arrays(tmp_path, size_px=SIZE, fit="none", sides=Sides(32, 128))
    sizes = np.concatenate([train.sizes_px, validation.sizes_px])
    assert [32, 32] in sizes.tolist()
    assert [32, 128] in sizes.tolist()
    assert "2 patches have a side under 32 pixels" in capsys.readouterr().err
    assert sizes.max() <= 128


def test_finished_run_is_not_trained_again(finished, copied, monkeypatch):
    monkeypatch.setattr(ClassifierModule, "training_step", lambda *_: pytest.fail("trained again"))
    again = run(copied.model_copy(update={"workers": 2, "export": False}))
    paths = {"bundle": None, "weights": None, "history": None}
    assert again._replace(**paths) == finished[1]._replace(**paths)


def test_resume_refuses_other_settings_and_lists_them(copied):
    with pytest.raises(TrainingError, match=r"other settings \(dropout: 0\.5 -> 0\.3; batch_size: 16 -> 8\)"):
        run(copied.model_copy(update={"batch_size": 8, "dropout": 0.3}))


def test_resume_refuses_other_patches(copied, tmp_path):
    shutil.copytree(copied.data, tmp_path / "set")
    write_patch(tmp_path / "set" / "none" / "000.png", np.zeros((SIZE, SIZE), np.float32))
    with pytest.raises(TrainingError, match="made with other patches"):
        run(copied.model_copy(update={"data": tmp_path / "set"}))


def test_resume_without_a_checkpoint(data, tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint to resume from"):
        run(settings(data, tmp_path, resume=True))


def test_early_stopping_keeps_the_best_epoch(data, tmp_path, monkeypatch):
    validated = ClassifierModule.on_validation_epoch_end
    states, losses = [], [1.0, 0.5, 0.7, 0.6, 0.1, 0.1]

    def script_losses(module):
        validated(module)
        module.summary["val_loss"] = losses[module.current_epoch]
        states.append({name: value.clone() for name, value in module.network.state_dict().items()})

    monkeypatch.setattr(ClassifierModule, "on_validation_epoch_end", script_losses)
    config = settings(data, tmp_path / "run", epochs=6, patience=2)
    result = run(config)
    assert (result.epochs_run, result.best_epoch, result.val_loss) == (4, 2, 0.5)
    for name, value in weights(config.out).items():
        assert torch.equal(value, states[1][name]), name


def test_nan_stops_with_advice(data, tmp_path):
    with pytest.raises(TrainingError, match=r"became NaN in epoch 1: lower --learning-rate \(it is 1e\+30; try 1e\+29"):
        run(settings(data, tmp_path / "run", learning_rate=1e30, momentum=0.0))


def test_lack_of_memory_is_told_with_ways_out(data, tmp_path, monkeypatch):
    def fail(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr(ClassifierModule, "training_step", fail)
    wanted = r"batch_size = 16: .* try --batch-size 8, --gradient-checkpointing, --precision bf16-mixed or a smaller"
    with pytest.raises(TrainingError, match=wanted):
        run(settings(data, tmp_path / "run"))


def test_other_errors_are_not_taken_for_a_lack_of_memory(data, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(ClassifierModule, "training_step", fail)
    with pytest.raises(RuntimeError, match="something else"):
        run(settings(data, tmp_path / "run"))


def test_gradient_checkpointing_changes_nothing_but_memory(data, tmp_path):
    kept, computed = (
        settings(data, tmp_path / str(each), epochs=1, gradient_checkpointing=each) for each in (False, True)
    )
    run(kept), run(computed)
    for name, value in weights(kept.out).items():
        assert torch.equal(value, weights(computed.out)[name]), name


def test_weights_of_another_network_are_refused_and_named(data, tmp_path):
    save_weights(create("resnet50", input_size_px=SIZE, hidden=(100,)), tmp_path / "other.pt")
    other = torch.load(tmp_path / "other.pt", weights_only=True)
    other["backbone.conv2.weight"] = torch.zeros(16, 16, 3, 3)
    torch.save(other, tmp_path / "other.pt")
    with pytest.raises(
        BundleError, match=r"layer 'conv2': weight has shape \(16, 16, 3, 3\); expected \(16, 16, 4, 4\)"
    ):
        run(settings(data, tmp_path / "run", weights=str(tmp_path / "other.pt")))
    assert not (tmp_path / "run").exists()


def test_training_goes_on_from_weights_and_frozen_ones_stay(data, finished, tmp_path):
    first, result = finished
    second = settings(data, tmp_path / "second", weights=str(result.bundle), encoding=None, freeze="bn1", epochs=1)
    run(second)
    before, after = weights(first.out), weights(second.out)
    for name in ("conv1.weight", "bn1.weight", "bn1.running_mean"):
        assert torch.equal(before[f"backbone.{name}"], after[f"backbone.{name}"])
    assert not torch.equal(before["backbone.conv2.weight"], after["backbone.conv2.weight"])


def test_encoding_is_that_of_the_weights_if_not_given(data, finished, tmp_path):
    def kind(**changed):
        return encoding_kind(settings(data, tmp_path, **({"encoding": None} | changed)))

    assert kind() == "grey"
    assert kind(weights="imagenet") == "imagenet-caffe"
    assert kind(weights=str(finished[1].bundle)) == "cos-sin-valid"
    assert kind(weights="imagenet", encoding="grey") == "grey"


def test_encoding_is_found_beside_a_file_of_weights(finished, copied, tmp_path, capsys):
    def kind(path):
        return encoding_kind(settings(copied.data, tmp_path, encoding=None, weights=str(path)))

    out = copied.out
    assert kind(out / "weights.pt") == kind(out / "tiny" / "weights.pt") == "cos-sin-valid"
    # A folder with a full stop in its name is no file.
    assert kind(shutil.copytree(out / "tiny", tmp_path / "tiny.v2")) == "cos-sin-valid"
    (out / "result.json").unlink()
    assert kind(out / "weights.pt") == "cos-sin-valid"
    assert capsys.readouterr().err == ""
    assert kind(shutil.copy(out / "weights.pt", tmp_path / "alone.pt")) == "grey"
    assert "alone.pt: does not say what input it was trained on; grey is taken" in capsys.readouterr().err


def test_the_official_file_of_imagenet_weights_is_known_by_its_content(data, tmp_path, monkeypatch):
    (tmp_path / "mine.h5").write_bytes(b"as released")
    release = IMAGENET["vgg16"]._replace(md5=hashlib.md5(b"as released").hexdigest())
    monkeypatch.setitem(IMAGENET, "vgg16", release)
    found = encoding_kind(settings(data, tmp_path, encoding=None, network="vgg16", weights=str(tmp_path / "mine.h5")))
    assert found == "imagenet-caffe"


def test_two_classes_of_which_neither_is_known_to_deform(tmp_path, capsys):
    write_set(tmp_path / "set", labels=("stable", "fringes"))
    with pytest.raises(ConfigError, match="nothing says whether 'fringes' or 'stable' shows deformation"):
        run(settings(tmp_path / "set", tmp_path / "run", export=True))
    assert not (tmp_path / "run").exists()
    run(settings(tmp_path / "set", tmp_path / "without"))
    capsys.readouterr()
    result = run(settings(tmp_path / "set", tmp_path / "run", export=True, positive=("fringes",), epochs=6))
    assert "classes: 'fringes' is deformation, 'stable' background" in capsys.readouterr().err
    detector = Detector(result.bundle, threads=1)
    scores = {
        name: np.mean([detector.score(open_interferogram(path)) for path in (tmp_path / "set" / name).iterdir()])
        for name in ("stable", "fringes")
    }
    assert scores["fringes"] > 0.5 > scores["stable"]


def test_sites_in_both_given_splits_are_told(tmp_path, capsys):
    patches = [
        dataclasses.replace(patch, split="validation" if number % 4 == 0 or number % 4 == 1 else "train", site="taal")
        for number, patch in enumerate(write_set(tmp_path))
    ]
    write_manifest(tmp_path / "manifest.csv", patches)
    read_arrays(tmp_path, size_px=SIZE)
    assert "training and validation share 1 of the sites (taal): validation flatters" in capsys.readouterr().err


def test_a_set_without_validation_is_split_and_its_test_left_out(tmp_path, capsys):
    patches = [
        dataclasses.replace(patch, split="test" if patch.site == "site0" else "train") for patch in write_set(tmp_path)
    ]
    write_manifest(tmp_path / "manifest.csv", patches)
    train, validation = read_arrays(tmp_path, size_px=SIZE)
    sites = [{patch.site for patch in part.patches} for part in (train, validation)]
    assert not sites[0] & sites[1]
    assert sites[0] | sites[1] == {f"site{number}" for number in range(1, 8)}
    assert "8 patches of the split test are left out" in capsys.readouterr().err


def test_settings_that_equal_what_is_taken_anyway_are_no_other_settings(data, tmp_path):
    config = settings(data, tmp_path / "run", learning_rate=None, encoding=None)
    run(config)
    run(config.model_copy(update={"resume": True, "learning_rate": 0.001, "encoding": "grey", "top": "pooling"}))
    with pytest.raises(TrainingError, match=r"other settings \(learning_rate: 0\.001 -> 0\.01\)"):
        run(config.model_copy(update={"resume": True, "learning_rate": 0.01}))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data.json", b"{", r"data\.json: cannot be read"),
        ("history.csv", b"epoch,val_loss\n0,torn\n", r"history\.csv: cannot be read as the history of a training"),
        ("history.csv", b"epoch", r"history\.csv: is missing or empty"),
        ("weights.pt", b"PK", r"weights\.pt: is no file of weights or is damaged"),
    ],
)
def test_a_damaged_file_of_a_run_to_resume_is_named(copied, name, content, message):
    (copied.out / name).write_bytes(content)
    with pytest.raises((TrainingError, BundleError), match=message):
        run(copied)


def test_a_damaged_checkpoint_is_named(data, tmp_path):
    config = settings(data, tmp_path / "run", epochs=3)
    stop_midway(config)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:3000])
    with pytest.raises(TrainingError, match=r"last\.ckpt: is no checkpoint or is damaged .*--overwrite"):
        run(config.model_copy(update={"resume": True}))


def test_a_full_disk_leaves_the_checkpoint_before(data, tmp_path, monkeypatch):
    config = settings(data, tmp_path / "run", epochs=3)
    saved, calls = torch.save, []

    def save(state, handle):
        if "state_dict" in state:
            calls.append(1)
            if len(calls) == 2:
                handle.write(b"half")
                raise OSError(28, "No space left on device")
        saved(state, handle)

    monkeypatch.setattr(torch, "save", save)
    monkeypatch.setattr("fringewatch.training.trainer._SHARE", 0)
    with pytest.raises(OutputError, match=r"last\.ckpt: cannot be written \(No space left on device\)"):
        run(config)
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["last.ckpt"]
    result = run(config.model_copy(update={"resume": True}))
    assert result.epochs_run == 3


def test_files_of_others_are_neither_replaced_nor_removed(copied, tmp_path):
    begin = copied.model_copy(update={"resume": False, "overwrite": True, "epochs": 1})
    kept = [copied.out / name for name in ("checkpoints/mine.ckpt", "tensorboard/notes.txt", "notes.csv")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    run(begin)
    assert [path.read_text() for path in kept] == ["mine"] * 3
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "history.csv").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"holds history\.csv but no train\.yaml"):
            run(begin.model_copy(update={"out": elsewhere, "overwrite": overwrite}))
    assert [path.name for path in elsewhere.iterdir()] == ["history.csv"]


def test_what_a_killed_run_was_writing_is_removed_and_two_at_once_are_refused(copied):
    (copied.out / "checkpoints").mkdir()
    left = [copied.out / ".history.abc.partial.csv", copied.out / "checkpoints" / ".last.x.partial.ckpt"]
    for path in left:
        path.touch()
    with sole_use(copied.out), pytest.raises(OutputError, match="another run is writing its results there"):
        run(copied)
    assert all(path.exists() for path in left)
    run(copied)
    assert not any(path.exists() for path in left)


def test_a_bundle_takes_no_folder_of_others(copied, data):
    """A run in the folder above that of another would write its bundle into that."""
    above = settings(data, copied.out.parent, export=True, name=copied.out.name)
    with pytest.raises(ConfigError, match="is where the bundle would go, and holds something else"):
        run(above)


def test_equal_networks_are_equal_files(data, tmp_path):
    paths = [run(settings(data, tmp_path / name, epochs=1)).weights for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("wrong", [{"hidden": (0,)}, {"dense": (0, 5)}, {"hidden": (-5,)}, {"seed": 2**32}])
def test_impossible_layers_and_seeds_are_refused(data, tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        settings(data, tmp_path, **wrong)


def test_one_class(tmp_path):
    write_set(tmp_path / "set", labels=("none",))
    with pytest.raises(ProductError, match=r"one class only \('none'\), expected two or more"):
        run(settings(tmp_path / "set", tmp_path / "run"))


def test_empty_class(tmp_path):
    write_set(tmp_path / "set", labels=("none",))
    (tmp_path / "set" / "deformation").mkdir()
    with pytest.raises(ProductError, match="no images in the folder of a class"):
        run(settings(tmp_path / "set", tmp_path / "run"))


def test_class_that_one_split_lacks(tmp_path):
    write_manifest(tmp_path / "manifest.csv", write_set(tmp_path, sites=1))
    with pytest.raises(TrainingError, match="no patch of 'none' and 'deformation' in the split"):
        run(settings(tmp_path, tmp_path / "run"))


def test_words_that_are_no_split_are_refused_and_others_told(tmp_path, capsys):
    patches = write_set(tmp_path, sites=4)
    words = ["train", "train", "validation", "validation", "test", "test"] * 11
    named = [dataclasses.replace(patch, split=word) for patch, word in zip(patches, words, strict=False)]
    write_manifest(tmp_path / "manifest.csv", named)
    run(settings(tmp_path, tmp_path / "run"))
    assert "20 patches of the split test are left out" in capsys.readouterr().err
    write_manifest(tmp_path / "manifest.csv", [dataclasses.replace(named[0], split="Trail"), *named[1:]])
    with pytest.raises(TrainingError, match=r"the column split holds 'Trail'; expected train, validation, test, or"):
        run(settings(tmp_path, tmp_path / "again"))


def test_a_gpu_that_is_not_there_costs_no_earlier_run(copied, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = sorted(path.name for path in copied.out.iterdir())
    with pytest.raises(ConfigError, match="torch finds no GPU here"):
        run(copied.model_copy(update={"accelerator": "gpu", "resume": False}))
    assert sorted(path.name for path in copied.out.iterdir()) == before


def test_a_run_that_fails_leaves_no_bundle_of_an_earlier_one_under_its_settings(copied):
    bundle = copied.out / "tiny"
    assert (bundle / "card.json").is_file()
    shutil.copytree(bundle, copied.out / "mine")
    with pytest.raises(TrainingError):
        run(copied.model_copy(update={"learning_rate": 1e9, "resume": False, "overwrite": True}))
    assert not bundle.exists()
    assert (copied.out / "mine" / "card.json").is_file()


def test_unreadable_picture(tmp_path):
    write_set(tmp_path / "set")
    (tmp_path / "set" / "none" / "000.png").write_bytes(b"not a picture")
    with pytest.raises(ProductError, match=r"1 of 64 pictures cannot be read: .*000\.png"):
        run(settings(tmp_path / "set", tmp_path / "run"))


def test_pictures_of_another_size_are_refused_or_resampled(tmp_path):
    write_set(tmp_path / "set", size=80)
    config = settings(tmp_path / "set", tmp_path / "run")
    with pytest.raises(ProductError, match=r"takes patches of 64 x 64 pixels, and the set has 64 of 80 x 80; .*--fit"):
        run(config)
    for fit in ("resize", "pad", "crop"):
        train, _ = read_arrays(tmp_path / "set", size_px=SIZE, fit=fit)
        assert train.codes.shape == (52, SIZE, SIZE)


def test_too_few_outputs_and_wrong_weights_of_classes(tmp_path):
    write_set(tmp_path / "set", labels=("a", "b", "c"), count=66)
    with pytest.raises(TrainingError, match="classes = 2: the data set has 3"):
        run(settings(tmp_path / "set", tmp_path / "run", classes=2))
    with pytest.raises(TrainingError, match="the data set has 3 classes; give one weight for each"):
        run(settings(tmp_path / "set", tmp_path / "run", class_weights=(1, 2)))
    with pytest.raises(ConfigError, match="a number >= 0 for each class"):
        settings(tmp_path / "set", tmp_path / "run", class_weights=(1, -2))


def test_three_classes_train_without_a_bundle(tmp_path):
    write_set(tmp_path / "set", labels=("a", "b", "c"), count=66)
    result = run(settings(tmp_path / "set", tmp_path / "run", epochs=1, export=True))
    assert result.bundle is None
    scores = [(int(row["label"]), int(row["predicted"])) for row in rows(tmp_path / "run" / "validation.csv")]
    for number, (name, found) in enumerate(result.by_class.items()):
        assert name == "abc"[number]
        assert found.patches == sum(label == number for label, _ in scores) > 0
        assert found.right == scores.count((number, number))
        assert found.taken_for_it == sum(predicted == number for _, predicted in scores)
    assert sum(found.right for found in result.by_class.values()) / len(scores) == pytest.approx(result.val_accuracy)
    told = [line for line in result.describe().splitlines() if line.startswith("class ")]
    assert [line.split()[:3] for line in told] == [["class", f"{name}:", "recall"] for name in "abc"]


def test_balanced_weights_give_each_class_the_same_say():
    label = np.array([0] * 6 + [1] * 2)
    np.testing.assert_allclose(class_weights("balanced", label, 2), [8 / 12, 8 / 4])
    assert class_weights("none", label, 2) is None


def test_codes_keep_every_grey_of_a_picture(tmp_path):
    greys = np.arange(256, dtype=np.float32)
    phase = np.angle(np.exp(1j * (greys * 2 * np.pi / 255 - np.pi))).astype(np.float32)[None]
    codes = encode_codes(phase)
    np.testing.assert_array_equal(codes[0, 1:], np.arange(1, 256))
    assert codes[0, 0] == 255  # -pi is pi
    np.testing.assert_allclose(np.exp(1j * decode_codes()[codes]), np.exp(1j * phase), atol=1e-5)
    assert encode_codes(np.full((1, 1), np.nan, np.float32)) == 0
    assert np.isnan(Phases(np.zeros((1, 2, 2), np.uint8))[0]).all()


def test_resampling_averages_phasors_across_the_jump():
    phase = np.full((8, 8), np.pi - 0.1, np.float32)
    phase[:, ::2] = -np.pi + 0.1
    phase[:, 6:] = np.nan
    small = resample(phase, 4, 4)
    np.testing.assert_allclose(np.abs(small[:, 1]), np.pi, atol=0.08)
    assert np.isnan(small[:, 3]).all()


@pytest.mark.parametrize("kind", ["grey", "zero-centred", "cos-sin-valid", "imagenet-caffe"])
def test_batches_are_what_the_encoding_says(kind):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 256, (6, 8, 8)).astype(np.uint8)
    arrays = PatchArrays(codes, np.arange(6) % 2, (), ("none", "deformation"))
    encoding = Encoding(kind=kind)
    chosen = np.array([4, 1, 3])
    batch, label = Batcher(arrays, encoding, augment=False).batch(Batch(chosen, 8, 8))
    np.testing.assert_array_equal(batch.numpy(), encoding(decode_codes()[codes[chosen]]))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert label.tolist() == [0, 1, 1]


def test_augmentation_is_offset_sign_and_the_eight_ways_to_lay_a_square():
    rng = np.random.default_rng(2)
    codes = rng.integers(1, 256, (1, 8, 8)).astype(np.uint8)
    codes[0, 2, 3] = 0
    count = 64
    arrays = PatchArrays(np.repeat(codes, count, 0), np.zeros(count, np.int64), (), ("none", "deformation"))
    batcher = Batcher(arrays, Encoding(), augment=True, seed=3)
    batch, _ = batcher.batch(Batch(np.arange(count), 8, 8), epoch=1)
    found = torch.complex(batch[:, 0], batch[:, 1]).numpy()
    whole = Encoding()(decode_codes()[codes[0]])
    original = whole[0] + 1j * whole[1]
    seen = set()
    for patch in found:
        for way in range(8):
            turned = np.rot90(original[:, ::-1] if way >= 4 else original, way % 4)
            for sign in (1, -1):
                other = turned if sign == 1 else turned.conj()
                turn = np.vdot(other, patch) / np.vdot(other, other).real
                # A constant offset is a constant factor of modulus 1, no data stay 0.
                if abs(abs(turn) - 1) < 1e-4 and np.abs(patch - turn * other).max() < 1e-4:
                    seen.add((way, sign))
                    break
            else:
                continue
            break
        else:
            pytest.fail("a patch is none of the ways")
    assert len(seen) == 16
    again, _ = batcher.batch(Batch(np.array([7, 2]), 8, 8), epoch=1)
    torch.testing.assert_close(again, batch[[7, 2]], rtol=0, atol=0)
    other, _ = batcher.batch(Batch(np.array([7, 2]), 8, 8), epoch=2)
    assert not torch.equal(again, other)


def order(count, epoch):
    buckets = make_buckets(np.full((count, 2), 8), least=8, turn=True)
    return [list(batch.indices) for batch in epoch_batches(buckets, 16, seed=0, epoch=epoch)]


def test_epochs_shuffle_all_patches_and_leave_no_single_one():
    assert [len(each) for each in order(33, 0)] == [16, 16]
    batches = order(34, 0)
    assert sorted(index for batch in batches for index in batch) == list(range(34))
    assert batches == order(34, 0)
    assert batches != order(34, 1)
    assert len(order(1, 0)) == 1


def test_training_needs_no_raster_library():
    """Machines that only train have no GDAL; pictures are read with Pillow."""
    code = (
        "import sys\n"
        "for name in ('rasterio', 'rioxarray', 'geopandas', 'pyogrio', 'zarr', 'dask'): sys.modules[name] = None\n"
        "import fringewatch.training.classifier, fringewatch.training.export"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_real_network_trains_in_bf16(data, tmp_path, monkeypatch):
    monkeypatch.undo()
    config = settings(
        data, tmp_path / "run", epochs=1, precision="bf16-mixed", optimizer="nadam", gradient_checkpointing=True
    )
    result = run(config)
    assert result.counts == (25_973_298, 25_919_374, 53_924)
    assert np.isfinite(result.val_loss)
    assert fit_module.WEIGHTS in {path.name for path in config.out.iterdir()}


def test_patches_are_decoded_once_for_many_trainings_and_anew_when_they_change(tmp_path, monkeypatch):
    write_set(tmp_path)
    first, _ = read_arrays(tmp_path, size_px=SIZE)
    with monkeypatch.context() as patch:
        patch.setattr(data_module, "read_phase", lambda _: pytest.fail("decoded again"))
        again, _ = read_arrays(tmp_path, size_px=SIZE)
    np.testing.assert_array_equal(again.codes, first.codes)
    changed = first.patches[0].path
    write_patch(changed, np.zeros((SIZE, SIZE), np.float32))
    later, _ = read_arrays(tmp_path, size_px=SIZE)
    index = [patch.path for patch in later.patches].index(changed)
    assert set(np.unique(later.codes[index])) <= {127, 128}
