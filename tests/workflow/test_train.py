"""From settings to a bundle that detection can use."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import fringewatch
from fringewatch.encoding import Encoding
from fringewatch.errors import BundleError, ConfigError, TrainingError
from fringewatch.models import load_bundle
from fringewatch.scan import scan, scene_logit
from fringewatch.simulate import preset, simulate
from fringewatch.training.cache import build_cache
from fringewatch.training.codes import decode_codes, encode_codes
from fringewatch.training.data import SampleBatches
from fringewatch.training.folder import check_folder, clear, settings_to_keep
from fringewatch.training.module import MapModule, peak_logit
from fringewatch.training.run import TrainConfig, run

pytestmark = pytest.mark.train

SMALL = {"height_px": 64, "width_px": 64, "pixel_size_m": [200, 250]}


def _small_spec():
    return preset("mixed").model_copy(update={"height_px": 64, "width_px": 64, "pixel_size_m": (200.0, 250.0)})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("train")
    config = TrainConfig(
        out=root / "run",
        cache=root / "cache",
        samples=96,
        holdout=64,
        simulation=SMALL,
        epochs=1,
        batch_size=16,
        workers=1,
        accelerator="cpu",
    )
    return config, run(config)


@pytest.mark.slow
def test_bundle_is_complete_and_runs_in_both_precisions(trained):
    config, result = trained
    phase = simulate(preset("mixed"), seed=99, index=0).phase
    logits = []
    for precision in ("float32", "int8"):
        bundle = load_bundle(result.bundle, precision=precision)
        logits.append(scan(xr.DataArray(phase, dims=("y", "x")), bundle).logits)
        assert logits[-1].shape == (56, 56)
        # Nothing of the machine that trained goes into the network.
        content = (result.bundle / bundle.card.files[precision]).read_bytes()
        assert str(Path(fringewatch.__file__).parent).encode() not in content
    assert np.corrcoef(logits[0].ravel(), logits[1].ravel())[0, 1] > 0.9
    card = bundle.card
    assert card.training["settings"]["seed"] == config.seed
    assert sum(card.training["samples_by_kind"].values()) == 96
    assert 0 <= card.thresholds.region_edge <= 1
    assert 0 < card.thresholds.scene < 1
    assert set(card.scores["holdout"]) == {"float32", "int8"}


@pytest.mark.slow
def test_training_goes_on_from_the_weights_of_a_bundle(trained, tmp_path):
    config, result = trained
    # A rate at which nothing is learnt: what comes out is what went in.
    still = {"out": tmp_path / "run", "weights": str(result.bundle), "learning_rate": 1e-12, "name": "mine"}
    again = run(config.model_copy(update=still))
    before, after = (torch.load(folder / "weights.pt", weights_only=True) for folder in (result.bundle, again.bundle))
    learnt = [name for name, values in before.items() if values.is_floating_point() and "running" not in name]
    assert learnt
    for name in learnt:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)
    card = load_bundle(again.bundle).card
    assert card.training["started_from"] == "fringenet"
    assert str(result.bundle) not in card.model_dump_json()


def test_weights_of_another_network_are_refused_before_any_work(tmp_path):
    torch.save({"stem.weight": torch.zeros(3, 3)}, tmp_path / "weights.pt")
    config = TrainConfig(out=tmp_path / "run", cache=tmp_path / "cache", weights=str(tmp_path / "weights.pt"))
    with pytest.raises(BundleError, match=r"weights\.pt: .* is missing; the file was saved from another network"):
        run(config)
    assert not config.out.exists()
    assert not config.cache.exists()


@pytest.mark.slow
def test_history_has_one_row_per_epoch(trained):
    with trained[1].history.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["0"]
    assert float(rows[0]["train_loss"]) > 0
    assert 0 <= float(rows[0]["val_auroc"]) <= 1


@pytest.mark.slow
def test_same_seed_gives_the_same_network(trained, tmp_path):
    config, result = trained
    again = run(config.model_copy(update={"out": tmp_path / "again"}))
    first, second = (json.loads((folder / "card.json").read_text()) for folder in (result.bundle, again.bundle))
    weights = [torch.load(folder.history.parent / "weights.pt", weights_only=True) for folder in (result, again)]
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-4, atol=1e-5, msg=name)
    for key in ("slope", "offset"):
        assert first["scene_calibration"][key] == pytest.approx(second["scene_calibration"][key], rel=0.05, abs=0.01)


@pytest.mark.slow
def test_resume_refuses_other_settings_and_lists_them(trained):
    config, _ = trained
    with pytest.raises(TrainingError, match=r"other settings \(learning_rate: 0\.003 -> 0\.1\)"):
        run(config.model_copy(update={"resume": True, "learning_rate": 0.1}))


@pytest.mark.slow
def test_interrupted_and_resumed_run_ends_like_an_uninterrupted_one(trained, tmp_path, monkeypatch):
    config = trained[0].model_copy(update={"epochs": 2})
    whole = run(config.model_copy(update={"out": tmp_path / "whole"}))

    halved = config.model_copy(update={"out": tmp_path / "halved"})
    steps = MapModule.training_step

    def stop_in_the_second_epoch(module, number):
        if module.current_epoch == 1 and number == 2:
            raise KeyboardInterrupt
        return steps(module, number)

    monkeypatch.setattr(MapModule, "training_step", stop_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        run(halved)
    monkeypatch.undo()
    resumed = run(halved.model_copy(update={"resume": True}))

    first, second = (torch.load(result.history.parent / "weights.pt", weights_only=True) for result in (whole, resumed))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-4, atol=1e-5, msg=name)
    assert resumed.history.read_text().count("\n") == 3
    assert whole.history.read_text().splitlines()[1] == resumed.history.read_text().splitlines()[1]


@pytest.mark.slow
def test_finished_run_can_be_calibrated_anew_without_changing_the_network(trained, tmp_path):
    config, result = trained
    out = tmp_path / "copy"
    shutil.copytree(config.out, out)
    again = run(config.model_copy(update={"out": out, "resume": True, "false_alarm_rate": 0.2}))
    before, after = (json.loads((bundle / "card.json").read_text()) for bundle in (result.bundle, again.bundle))
    assert before["sha256"]["model.onnx"] == after["sha256"]["model.onnx"]
    assert after["thresholds"]["false_alarm_rate"] == 0.2


@pytest.mark.slow
def test_a_bundle_can_be_written_later_elsewhere(trained, tmp_path):
    config, result = trained
    away = config.model_copy(update={"out": tmp_path / "away", "export": False})
    assert run(away).bundle is None
    home = tmp_path / "home"
    home.mkdir()
    for name in ("train.yaml", "samples.json", "weights.pt"):
        shutil.copy(tmp_path / "away" / name, home)
    later = run(config.model_copy(update={"out": home, "cache": tmp_path / "cache", "resume": True}))
    before, after = (json.loads((bundle / "card.json").read_text()) for bundle in (result.bundle, later.bundle))
    # Not bit for bit on every processor, but of the same weights: the same scores.
    assert after["training"]["samples_by_kind"] == before["training"]["samples_by_kind"]
    for precision, scores in after["scores"]["holdout"].items():
        assert scores == pytest.approx(before["scores"]["holdout"][precision], nan_ok=True)


def test_arguments_that_the_network_lacks_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"not arguments of fringenet .*wdths"):
        run(TrainConfig(out=tmp_path / "none", network={"wdths": [1]}))


def test_history_is_finite(trained):
    with trained[1].history.open() as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 1
    assert all(np.isfinite(float(value)) for value in rows[0].values())
    assert 0 <= float(rows[0]["val_accuracy"]) <= 1


def test_fresh_run_never_takes_an_old_checkpoint(tmp_path):
    (tmp_path / "train.yaml").write_text("samples: 64")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"of another run")
    clear(tmp_path)
    with pytest.raises(ConfigError, match="no checkpoint to resume from"):
        check_folder(TrainConfig(out=tmp_path, resume=True), tmp_path, harmless=())


@pytest.mark.parametrize("began", [{}, {"resume": True}, {"overwrite": True}])
def test_kept_settings_say_nothing_of_how_the_run_began(tmp_path, began):
    config = TrainConfig(out=tmp_path, samples=64, batch_size=16, **began)
    (tmp_path / "train.yaml").write_text(settings_to_keep(config))
    assert TrainConfig.from_yaml(tmp_path / "train.yaml") == TrainConfig(out=tmp_path, samples=64, batch_size=16)


@pytest.mark.parametrize("preset", ["mixed", "volcano", "earthquake", "mining"])
def test_the_card_says_what_the_population_holds(preset):
    kinds = TrainConfig(preset=preset).spec().kinds
    said = TrainConfig(preset=preset).describe()
    for kind, word in {"volcano": "volcano", "earthquake": "earthquake", "mining": "mines"}.items():
        taught = said.partition("was taught no")[0]
        assert (word in taught) == (kinds.get(kind, 0) > 0), (kind, said)


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("weights.pt", "holds a finished training: --resume writes its bundle again, --overwrite begins anew"),
        ("checkpoints/last.ckpt", "holds a training that was stopped: --resume goes on with it, --overwrite begins"),
    ],
)
def test_an_earlier_training_is_not_lost_unless_asked_for(tmp_path, file, told):
    (tmp_path / "train.yaml").write_text("samples: 64")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"of another run")
    with pytest.raises(ConfigError, match=told):
        run(TrainConfig(out=tmp_path, samples=64, batch_size=16))
    assert (tmp_path / file).read_bytes() == b"of another run"
    check_folder(TrainConfig(out=tmp_path, overwrite=True), tmp_path, harmless=())
    with pytest.raises(ConfigError, match="resume and overwrite exclude each other"):
        check_folder(TrainConfig(out=tmp_path, overwrite=True, resume=True), tmp_path, harmless=())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"simulation": {"kinds": {"volcano": 1.0}}}, "training needs quiet scenes and others"),
        ({"simulation": {"deth_m": 3}}, "unknown key 'deth_m'"),
        (
            {"simulation": {"height_px": 96, "width_px": 128}},
            "height_px = 96, width_px = 128; expected samples as wide",
        ),
        ({"simulation": {"height_px": 100, "width_px": 100}}, "a multiple of 32 pixels"),
    ],
)
def test_population_that_cannot_be_trained_on_is_refused_before_any_work(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        run(TrainConfig(out=tmp_path / "none", **settings))
    assert not (tmp_path / "none").exists()


def test_samples_of_one_class_are_refused_before_any_training(tmp_path):
    simulation = {"kinds": {"quiet": 1e-9, "volcano": 1.0}, "height_px": 32, "width_px": 32, "min_visible_px": 1}
    config = TrainConfig(
        out=tmp_path, cache=tmp_path / "cache", samples=64, holdout=64, workers=0, simulation=simulation
    )
    with pytest.raises(ConfigError, match="samples = 64: 64 of them deform, and training needs both"):
        run(config)


def test_batch_larger_than_the_set():
    with pytest.raises(ConfigError, match="no step would be made"):
        TrainConfig.build({"samples": 64, "batch_size": 65})


def test_resume_without_a_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint to resume from"):
        run(TrainConfig(out=tmp_path, resume=True))


def test_phase_survives_the_cache_to_a_seventieth_of_a_radian():
    phase = np.random.default_rng(0).uniform(-np.pi, np.pi, (50, 50)).astype(np.float32)
    phase[3, 4] = np.nan
    back = decode_codes()[encode_codes(phase)]
    assert np.isnan(back[3, 4])
    # -pi is pi.
    assert np.nanmax(np.abs(np.angle(np.exp(1j * (back - phase))))) < 1 / 70


def test_cache_is_taken_up_again_and_grows(tmp_path):
    spec = preset("quiet").model_copy(update={"height_px": 32, "width_px": 32})
    first = build_cache(tmp_path, spec, count=10, seed=0, stride=4)
    seen = []
    again = build_cache(tmp_path, spec, count=10, seed=0, stride=4, progress=seen.append)
    assert seen == [10]
    np.testing.assert_array_equal(first.phase, again.phase)
    larger = build_cache(tmp_path, spec, count=12, seed=0, stride=4)
    np.testing.assert_array_equal(larger.phase[:10], first.phase)


def test_augmented_batches_are_phase_like_and_reproducible(tmp_path):
    spec = preset("volcano").model_copy(update={"height_px": 64, "width_px": 64, "pixel_size_m": (200.0, 250.0)})
    samples = build_cache(tmp_path, spec, count=16, seed=0, stride=4)
    data = SampleBatches(samples, Encoding(), batch_size=16, augment=True, seed=1)
    phase, coverage, valid, label, target = data.batch(0)
    assert (target == label).all()
    assert (phase == data.batch(0)[0]).all()
    modulus = (phase[:, 0] ** 2 + phase[:, 1] ** 2).numpy()
    np.testing.assert_allclose(modulus, phase[:, 2].numpy(), atol=1e-5)
    assert coverage.shape == valid.shape == (16, 16, 16)
    np.testing.assert_array_equal((coverage.amax(dim=(1, 2)) > 0).long().numpy(), label.numpy())
    assert not (phase == data.batch(0, epoch=1)[0]).all()


def test_batches_without_augmentation_are_the_samples_in_order(tmp_path):
    samples = build_cache(tmp_path, _small_spec(), count=5, seed=0, stride=4)
    data = SampleBatches(samples, Encoding(), batch_size=2, augment=False)
    batches = [data.batch(number) for number in range(len(data))]
    assert [len(batch.label) for batch in batches] == [2, 2, 1]
    expected = Encoding()(decode_codes()[samples.phase])
    np.testing.assert_array_equal(np.concatenate([batch.phase.numpy() for batch in batches]), expected)
    valid = (samples.phase > 0).reshape(5, 16, 4, 16, 4).any(axis=(2, 4))
    np.testing.assert_array_equal(np.concatenate([batch.valid.numpy() for batch in batches]), valid)


def test_augmentation_is_what_it_says(tmp_path):
    samples = build_cache(tmp_path, _small_spec(), count=40, seed=0, stride=4)
    data = SampleBatches(samples, Encoding(), batch_size=8, augment=True, seed=3)
    plain = Encoding()(decode_codes()[samples.phase])
    planes = 0
    for number in range(len(data)):
        phase, coverage, *_ = (part.numpy() for part in data.batch(number, epoch=2))
        for row, index in enumerate(data._draws(2).order[8 * number : 8 * number + 8]):
            # One of eight ways to lay the square brings validity and coverage to what came out.
            ways = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]
            before = plain[index, 0] + 1j * plain[index, 1]
            after = phase[row, 0] + 1j * phase[row, 1]
            best = 0.0
            for turns, mirrored in ways:
                laid = np.rot90(before[:, ::-1] if mirrored else before, turns)
                cover = np.rot90(samples.coverage[index][:, ::-1] if mirrored else samples.coverage[index], turns)
                if not np.allclose(cover / 255, coverage[row], atol=1e-6):
                    continue
                for signed in (laid, laid.conj()):
                    # What is left is an offset and a plane: one peak of the spectrum holds all of it.
                    left = np.fft.fft2(after * signed.conj(), (512, 512))
                    best = max(best, np.abs(left).max() / np.count_nonzero(after))
            assert best > 0.98
            planes += np.abs(data._draws(2).plane[index]).max() > 0
    assert 4 < planes < 25


def test_training_scores_a_scene_as_detection_does():
    import torch

    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 12, 9)).astype(np.float32)
    valid = rng.random((5, 12, 9)) < 0.7
    batched = peak_logit(torch.from_numpy(logits), torch.from_numpy(valid.astype(np.float32)))
    single = [scene_logit(*pair) for pair in zip(logits, valid, strict=True)]
    np.testing.assert_allclose(batched.numpy(), single, rtol=1e-5)
