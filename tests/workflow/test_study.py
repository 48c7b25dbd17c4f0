"""A study from settings to its table: resume, failures, interruption, and one real run of the smallest."""

import csv
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from fringewatch import cli
from fringewatch.errors import ConfigError, TrainingError
from fringewatch.networks.registry import Counts
from fringewatch.study.records import read_record
from fringewatch.study.run import StudyConfig, run
from fringewatch.training.folder import OtherRunError

pytestmark = pytest.mark.train


class Trainer:
    """Takes the place of training: writes a history and weights, notes its settings, fails or stops on demand."""

    def __init__(self):
        self.calls = []
        self.then = {}

    def __call__(self, config):
        self.calls.append(config)
        row = config.out.parent.name
        error = self.then.pop(row, None)
        if error is not None:
            (config.out / "checkpoints").mkdir(exist_ok=True)
            (config.out / "checkpoints" / "last.ckpt").touch()
            raise error
        history = config.out / "history.csv"
        history.write_text(
            "epoch,train_accuracy,val_accuracy,train_loss,val_loss\n0,0.6,0.55,0.9,1\n1,0.8,0.75,0.5,0.6\n"
        )
        (config.out / "weights.pt").touch()
        return SimpleNamespace(
            bundle=None,
            weights=config.out / "weights.pt",
            history=history,
            epochs_run=config.epochs,
            seconds_per_epoch=3.5,
            images_per_second=40.0,
            peak_memory_bytes=2**30,
            counts=Counts(15_527_410, 15_526_606, 804),
            n_train=80,
            n_validation=20,
            val_accuracy=0.75 + 0.05 * config.seed,
            val_auroc=0.8,
            val_precision=0.7,
            val_recall=float("nan"),
        )

    def rows(self):
        return [(config.out.parent.name, config.seed) for config in self.calls]


@pytest.fixture
def trainer(monkeypatch):
    fake = Trainer()
    monkeypatch.setattr("fringewatch.study.run.train", fake)
    return fake


def study(out, **changed):
    values = {
        "out": out,
        "title": "Three rows",
        "sets": {"patches": "patches"},
        "common": {"network": "vgg16", "epochs": 2},
        "rows": {"first": {}, "second": {"dropout": 0.2}, "third": {"weights": "row:first", "freeze": 12}},
    }
    return StudyConfig.build(values | changed)


def table(out):
    with (out / "table.csv").open(newline="", encoding="utf-8") as handle:
        return {line["row"]: line for line in csv.DictReader(handle)}


def test_rows_are_trained_in_order_and_a_row_starts_from_another(tmp_path, trainer):
    result = run(study(tmp_path, seeds=(0, 1)))
    assert trainer.rows() == [(row, seed) for row in ("first", "second", "third") for seed in (0, 1)]
    # The same seed of the row it starts from.
    assert trainer.calls[5].weights == str(tmp_path / "rows" / "first" / "seed-1" / "weights.pt")
    assert not any(config.resume for config in trainer.calls)
    assert result.exit_code == 0
    assert table(tmp_path)["third"]["weights"] == "first"
    assert "first" in result.describe()
    assert "third" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "index.html").read_text().count('class="history"') == 3
    assert StudyConfig.from_yaml(tmp_path / "study.yaml") == study(tmp_path, seeds=(0, 1))


def test_a_second_run_trains_nothing_and_writes_the_same(tmp_path, trainer):
    run(study(tmp_path))
    before = {name: (tmp_path / name).read_text() for name in ("table.md", "table.csv", "index.html")}
    trainer.calls.clear()
    run(study(tmp_path))
    assert trainer.calls == []
    assert {name: (tmp_path / name).read_text() for name in before} == before


def test_only_trains_some_rows_and_keeps_the_table_of_all(tmp_path, trainer):
    trainer.then["second"] = TrainingError("no luck")
    assert run(study(tmp_path)).exit_code == 3
    trainer.calls.clear()
    result = run(study(tmp_path, only=("first",)))
    assert trainer.calls == []
    assert list(table(tmp_path)) == ["first", "second", "third"]
    assert "second: no luck" in (tmp_path / "table.md").read_text()
    assert result.exit_code == 3
    assert StudyConfig.from_yaml(tmp_path / "study.yaml") == study(tmp_path)


def test_seeds_that_agree_or_repeat_give_no_interval(tmp_path, trainer):
    with pytest.raises(ConfigError, match="one seed is given twice"):
        study(tmp_path, seeds=(0, 0))
    rows = run(study(tmp_path, seeds=(0, 1))).rows
    # The trainer's accuracy depends on the seed, its AUROC does not.
    assert rows[0].accuracy.low < rows[0].accuracy.value < rows[0].accuracy.high
    assert math.isnan(rows[0].auroc.low)


def test_a_killed_study_goes_on_where_it_was(tmp_path, trainer):
    trainer.then["second"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(study(tmp_path))
    assert list(table(tmp_path)) == ["first"]
    assert "2 trainings are not finished yet" in (tmp_path / "table.md").read_text()
    trainer.calls.clear()
    result = run(study(tmp_path))
    assert trainer.rows() == [("second", 0), ("third", 0)]
    # It had left a checkpoint; the row after it had not begun.
    assert [config.resume for config in trainer.calls] == [True, False]
    assert result.exit_code == 0
    assert "not finished" not in (tmp_path / "table.md").read_text()


def test_a_failed_row_stops_nothing_but_what_starts_from_it(tmp_path, trainer):
    trainer.then["first"] = TrainingError("the loss became NaN")
    result = run(study(tmp_path))
    assert trainer.rows() == [("first", 0), ("second", 0)]
    assert result.exit_code == 3
    status = {name: line["status"] for name, line in table(tmp_path).items()}
    assert status == {"first": "failed", "second": "ok", "third": "failed"}
    assert table(tmp_path)["third"]["message"] == (
        "the row 'first', whose weights it starts from, failed; mend that one first"
    )
    assert "the loss became NaN" in result.describe()
    # The next run tries what failed again, from its checkpoint, and leaves alone what did not.
    trainer.calls.clear()
    assert run(study(tmp_path)).exit_code == 0
    assert trainer.rows() == [("first", 0), ("third", 0)]
    assert trainer.calls[0].resume


def test_what_is_left_of_other_settings_or_data_is_not_gone_on_with(tmp_path, trainer, capsys):
    trainer.then["second"] = TrainingError("the loss became NaN")
    run(study(tmp_path))
    trainer.calls.clear()
    trainer.then["second"] = OtherRunError("made with other settings (dropout: 0.2 -> 0.3)")
    result = run(study(tmp_path, rows={"first": {}, "second": {"dropout": 0.3}}))
    # Training itself knows what fits; then the row begins anew, and no later run is stuck.
    assert [(config.resume, config.overwrite) for config in trainer.calls] == [(True, False), (False, True)]
    assert result.exit_code == 0
    assert "second: begins anew" in capsys.readouterr().err


def test_rows_of_data_that_changed_under_one_path_are_not_mixed(tmp_path, trainer):
    for label in ("none", "deformation"):
        (tmp_path / "patches" / label).mkdir(parents=True)
        (tmp_path / "patches" / label / "a.png").write_bytes(b"0123")
    sets = {"patches": str(tmp_path / "patches")}
    run(study(tmp_path / "out", sets=sets))
    os.utime(tmp_path / "patches" / "none" / "a.png", (0, 0))
    assert run(study(tmp_path / "out", sets=sets)).exit_code == 0
    (tmp_path / "patches" / "none" / "b.png").write_bytes(b"0123")
    with pytest.raises(ConfigError, match=r"data: the files of .*patches have changed \(rows 'first' with seed 0, "):
        run(study(tmp_path / "out", sets=sets))
    # A table can be made when the data are gone.
    shutil.rmtree(tmp_path / "patches")
    trainer.calls.clear()
    assert run(study(tmp_path / "out", sets=sets)).exit_code == 0
    assert trainer.calls == []


def test_an_error_of_torch_is_a_row_s_and_a_defect_is_not(tmp_path, trainer):
    trainer.then["second"] = RuntimeError("out of memory")
    assert run(study(tmp_path)).exit_code == 3
    assert table(tmp_path)["second"]["message"] == "RuntimeError: out of memory"
    trainer.then["second"] = AttributeError("a defect")
    with pytest.raises(AttributeError):
        run(study(tmp_path))


def test_nothing_worked(tmp_path, trainer):
    trainer.then = {name: TrainingError("no") for name in ("first", "second", "third")}
    result = run(study(tmp_path))
    assert result.exit_code == 1
    assert (tmp_path / "index.html").read_text().count('class="state"') == 3


def test_changed_settings_of_finished_rows_are_refused(tmp_path, trainer):
    run(study(tmp_path))
    trainer.calls.clear()
    with pytest.raises(ConfigError, match=r"dropout: 0\.2 -> 0\.3 \(rows 'second' with seed 0\); use another"):
        run(study(tmp_path, rows={"first": {}, "second": {"dropout": 0.3}}))
    with pytest.raises(ConfigError, match=r"data: patches -> others"):
        run(study(tmp_path, sets={"patches": "others"}))
    assert trainer.calls == []


def test_a_new_row_joins_the_finished_ones(tmp_path, trainer):
    run(study(tmp_path))
    trainer.calls.clear()
    rows = {"first": {}, "second": {"dropout": 0.2}, "fourth": {"dropout": 0.4}}
    run(study(tmp_path, rows=rows))
    assert trainer.rows() == [("fourth", 0)]
    assert list(table(tmp_path)) == list(rows)


def test_a_simulated_set_is_made_once_and_anew_when_its_settings_change(tmp_path, trainer):
    block = {"preset": "volcano", "count": 3, "size_px": 48, "seed": 5, "workers": 1}
    run(study(tmp_path, sets={"volcano": block}, rows={"first": {}}))
    folder = trainer.calls[0].data
    assert folder.parent == tmp_path / "data"
    assert len((folder / "manifest.csv").read_text().splitlines()) == 4
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert len(stamps) == 3
    run(study(tmp_path, sets={"volcano": block}, rows={"first": {}, "second": {"dropout": 0.2}}))
    assert trainer.calls[1].data == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")} == stamps
    run(study(tmp_path, sets={"volcano": block | {"seed": 6}}, rows={"other": {}}))
    assert trainer.calls[2].data != folder


def test_the_record_says_how_it_came_about(tmp_path, trainer):
    run(study(tmp_path))
    record = read_record(tmp_path / "rows" / "third" / "seed-0")
    assert (record.settings["weights"], record.settings["freeze"]) == ("row:first", 12)
    assert record.settings["learning_rate"] == 0.001
    assert record.outcome.val_recall is None
    assert not Path(record.outcome.history).is_absolute()
    assert set(record.versions) == {"fringewatch", "torch", "python"}
    assert str(tmp_path) not in (tmp_path / "rows" / "third" / "seed-0" / "record.json").read_text()


def test_from_the_command_line(tmp_path, trainer, capsys):
    trainer.then["vgg16"] = TrainingError("the loss became NaN")
    arguments = [
        "study",
        "smoke",
        "--out",
        str(tmp_path),
        "--data",
        "p",
        "--only",
        "vgg16",
        "alexnet",
        "--set",
        "epochs=3",
    ]
    assert cli.main(arguments) == 3
    shown = capsys.readouterr().out
    assert "AlexNet" in shown
    assert "the loss became NaN" in shown
    assert [config.epochs for config in trainer.calls] == [3, 3]
    assert cli.main(["study", "tabel"]) == 2


@pytest.mark.slow
def test_smoke_trains_every_row_of_the_study(tmp_path):
    # Bundles are written in test_train_cnn; nine of them take longer than nine trainings of this size.
    result = run(StudyConfig(preset="smoke", out=tmp_path, count=32, set=("export=false",)))
    assert result.exit_code == 0, result.describe()
    assert len(result.rows) == 9
    for row in result.rows:
        assert row.n_train + row.n_validation == 32
        assert 0 <= row.accuracy.value <= 1
        assert row.images_per_second > 0
    pretrained = {row.name: row for row in result.rows}["DenseNet121 pretrained"]
    assert (pretrained.total, pretrained.trainable) == (8_374_514, 7_278_606)
