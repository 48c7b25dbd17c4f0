"""Plans, tables and charts of a study."""

import csv
import io
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("lightning")

from fringewatch.errors import ConfigError
from fringewatch.networks.registry import STUDY, build, count_parameters
from fringewatch.study.charts import chart_accuracies, chart_curves, chart_history
from fringewatch.study.page import read_history, render_page
from fringewatch.study.plan import make_plan
from fringewatch.study.records import Outcome, Record, read_record, setting_changes
from fringewatch.study.settings import StudyConfig, list_presets, load_preset
from fringewatch.study.table import Figure, render_csv, render_markdown, summarise

pytestmark = pytest.mark.train


def plan_of(**values):
    return make_plan(StudyConfig.build({"sets": {"volcano": "patches"}, **values}))


def names(plan):
    return [row.name for row in plan.rows]


def test_every_preset_can_be_planned_and_is_described():
    assert {"table", "table-cpu", "frozen", "learning-rates", "optimisers", "smoke"} <= set(list_presets())
    described = StudyConfig.model_fields["preset"].description
    for name in list_presets():
        assert f"`{name}`" in described
        plan = make_plan(StudyConfig(preset=name))
        assert plan.title
        assert plan.caption
        assert plan.rows


@pytest.mark.parametrize("preset", list_presets())
def test_networks_of_every_preset_can_be_built(preset):
    """Among them the names of the layers up to which they are frozen."""
    import torch

    networks = {
        row.train_config(data=Path("d"), out=Path("o"), seed=0, weights=None, resume=False).network_config(2)
        for row in make_plan(StudyConfig(preset=preset)).rows
    }
    for network in networks:
        with torch.device("meta"):
            assert count_parameters(build(network)).total > 0


def test_preset_table_is_the_study():
    plan = make_plan(StudyConfig(preset="table"))
    assert plan.sets["volcano"].count == 28_430
    for row, published in zip(plan.rows, STUDY, strict=True):
        assert row.published is published
        config = row.train_config(data=Path("d"), out=Path("o"), seed=0, weights=None, resume=False)
        assert (config.epochs, config.rate) == (published.epochs, published.learning_rate)
        assert (config.optimizer, config.decay, config.momentum, config.nesterov) == ("sgd", 1e-6, 0.9, True)
        assert (config.weights == "imagenet") is published.pretrained
        import torch

        with torch.device("meta"):
            assert count_parameters(build(config.network_config(2))) == published.parameters


@pytest.mark.parametrize("preset", ["table-cpu", "smoke"])
def test_the_small_tables_have_the_study_s_frozen_parts(preset):
    rows = {row.name: row for row in make_plan(StudyConfig(preset=preset)).rows}
    for published in STUDY:
        settings = rows[published.title].settings
        assert settings["network"] == published.network.name
        assert settings.get("freeze") == published.network.freeze
        assert settings.get("top") == published.network.top
        assert (rows[published.title].starts_from is not None) is published.pretrained


def test_preset_learning_rates_are_those_that_were_tried():
    rows = make_plan(StudyConfig(preset="learning-rates")).rows
    tried = {}
    for row in rows:
        tried.setdefault(row.settings["optimizer"], []).append(row.settings["learning_rate"])
    low = [0.1, 0.01, 0.001, 0.0005, 0.0002, 0.0001]
    assert tried == {"sgd": low, "adadelta": [1.0, *low]}


def test_lists_are_multiplied_out_and_name_their_rows():
    plan = plan_of(rows={"a": {"network": "vgg16", "learning_rate": [0.1, 0.01], "activation": ["relu", "tanh"]}})
    assert names(plan) == ["a, lr 0.1, relu", "a, lr 0.1, tanh", "a, lr 0.01, relu", "a, lr 0.01, tanh"]
    assert [row.folder for row in plan.rows][:2] == ["a-lr-0.1-relu", "a-lr-0.1-tanh"]
    assert plan.rows[3].settings["learning_rate"] == 0.01


def test_a_setting_that_is_a_list_is_not_multiplied_out_unless_it_lists_lists():
    plan = plan_of(rows={"a": {"network": "vgg16", "hidden": [64, 32]}})
    assert len(plan.rows) == 1
    assert len(plan_of(rows={"a": {"network": "vgg16", "hidden": [[64, 32], [64]]}}).rows) == 2


def test_what_is_nearer_to_the_row_wins():
    plan = plan_of(
        common={"network": "vgg16", "epochs": 3, "batch_size": 8, "dropout": 0.5},
        rows={"a": {"epochs": 4, "batch_size": 16}},
        set=("batch-size=64",),
    )
    settings = plan.rows[0].settings
    assert (settings["epochs"], settings["batch_size"], settings["dropout"]) == (4, 64, 0.5)


def test_options_take_the_place_of_what_a_preset_says():
    plan = make_plan(StudyConfig(preset="table-cpu", count=64, size_px=128, seeds=(3, 4), title="Mine"))
    assert {data.count for data in plan.sets.values()} == {64}
    assert {data.size_px for data in plan.sets.values()} == {128}
    assert {row.settings["input_size_px"] for row in plan.rows} == {128}
    assert (plan.seeds, plan.title) == ((3, 4), "Mine")
    own = make_plan(StudyConfig(preset="table-cpu", data=Path("mine")))
    assert own.sets["volcano"] == Path("mine")
    assert own.sets["earthquake"].preset == "earthquake"


def test_only_takes_along_what_a_row_starts_from():
    plan = make_plan(StudyConfig(preset="smoke", only=("resnet50 pre*",)))
    assert names(plan) == ["ResNet50", "ResNet50 pretrained"]


def test_weights_from_a_folder(tmp_path):
    (tmp_path / "vgg16.weights.h5").touch()
    plan = plan_of(rows={"a": {"network": "vgg16", "weights": "imagenet"}}, weights_from=tmp_path)
    assert plan.rows[0].settings["weights"] == str(tmp_path / "vgg16.weights.h5")
    with pytest.raises(ConfigError, match=r"holds no weights of resnet50; expected one of resnet50, resnet50\.weights"):
        plan_of(rows={"a": {"network": "resnet50", "weights": "imagenet"}}, weights_from=tmp_path)


def test_weights_from_another_study_are_those_trained_from_nothing(tmp_path):
    for name, settings in {
        "b-frozen": {"network": "vgg16", "weights": "imagenet", "freeze": 12},
        "c-whole": {"network": "vgg16", "weights": None, "freeze": None},
    }.items():
        folder = tmp_path / "rows" / name / "seed-0"
        folder.mkdir(parents=True)
        record(name, settings=settings).write(folder)
    plan = plan_of(rows={"a": {"network": "vgg16", "weights": "imagenet"}}, weights_from=tmp_path)
    assert plan.rows[0].settings["weights"] == str(tmp_path / "rows" / "c-whole" / "seed-0" / "weights.pt")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "rows: none are given; name a preset"),
        ({"preset": "tabel"}, r"preset 'tabel': there is no such study; choose one of .*table"),
        ({"rows": {"a": {"network": "vgg61"}}}, r"row 'a': network = 'vgg61'"),
        ({"rows": {"a": {"network": "vgg16", "lr": 1}}}, r"row 'a': unknown key 'lr'"),
        ({"rows": {"a": 3}}, r"row 'a': holds 3; expected a mapping"),
        ({"rows": {"a": {"network": "vgg16", "data": "moon"}}}, r"data = 'moon': no such data set; sets has volcano"),
        ({"rows": {"a": {"network": "vgg16", "epochs": []}}}, r"row 'a': epochs is an empty list"),
        ({"rows": {"a": {"network": "vgg16", "seed": 3}}}, r"row 'a': seed is given by the study for all rows"),
        ({"rows": {"a": {"network": "vgg16", "published": "VGG"}}}, r"published = 'VGG': no such row; expected one of"),
        (
            {"rows": {"one": {"network": "vgg16"}, "b": {"network": "vgg16", "weights": "row:oen"}}},
            r"row 'b': weights = 'row:oen': no row of that name stands above it; did you mean 'one'\?",
        ),
        ({"rows": {"a b": {"network": "vgg16"}, "a-b": {"network": "vgg16"}}}, r"'a b' and 'a-b': their folders"),
        ({"rows": {"a": {"network": "vgg16"}}, "only": ("x*",)}, r"--only x\*: matches no row; rows are 'a'"),
        ({"rows": {"a": {"network": "vgg16"}}, "set": ("epochs",)}, r"--set epochs: expected KEY=VALUE"),
        ({"rows": {"a": {"network": "vgg16"}}, "sets": {}}, r"sets: no data set is given; name a folder"),
        ({"rows": {"a": {"network": "vgg16"}}, "sets": {"v": {"presett": "x"}}}, r"sets\.v: unknown key 'presett'"),
    ],
)
def test_mistakes_are_named(values, text):
    with pytest.raises(ConfigError, match=text):
        plan_of(**values)


def outcome(**changed):
    values = {
        "weights": "weights.pt",
        "history": "history.csv",
        "epochs_run": 2,
        "seconds_per_epoch": 12.25,
        "images_per_second": 131.0,
        "peak_memory_bytes": 3 * 2**30,
        "total_parameters": 15_527_410,
        "trainable_parameters": 15_526_606,
        "frozen_and_statistics": 804,
        "n_train": 80,
        "n_validation": 20,
        "val_accuracy": 0.95,
        "val_auroc": 0.99,
        "val_precision": 0.9,
        "val_recall": None,
    }
    return Outcome.model_validate(values | changed)


def record(row, seed=0, *, settings=None, message="", **changed):
    return Record(
        row=row,
        seed=seed,
        status="failed" if message else "ok",
        data="volcano",
        settings={"network": "vgg16", "learning_rate": 0.001} if settings is None else settings,
        seconds=1.0,
        message=message,
        outcome=None if message else outcome(**changed),
    )


def summaries(plan, records, tmp_path=Path()):
    keyed = {(item.row, item.seed): item for item in records}
    return summarise(plan, keyed, {key: tmp_path / key[0] / str(key[1]) for key in keyed})


def test_interval_over_seeds_is_student_s():
    plan = plan_of(rows={"a": {"network": "vgg16"}}, seeds=(0, 1, 2))
    (row,) = summaries(plan, [record("a", seed, val_accuracy=0.90 + 0.02 * seed) for seed in range(3)])
    assert row.accuracy.value == pytest.approx(0.92)
    # t of 2 degrees of freedom at 97.5 % is 4.303; s = 0.02.
    half = 4.302653 * 0.02 / math.sqrt(3)
    assert (row.accuracy.low, row.accuracy.high) == (pytest.approx(0.92 - half), pytest.approx(0.92 + half))


def test_interval_of_one_seed_is_wilson_s_over_the_validation_patches():
    (row,) = summaries(plan_of(rows={"a": {"network": "vgg16"}}), [record("a", val_accuracy=0.95)])
    # Wilson for 19 of 20, z = 1.96.
    assert (row.accuracy.low, row.accuracy.high) == (pytest.approx(0.7639, abs=1e-3), pytest.approx(0.9911, abs=1e-3))
    assert math.isnan(row.auroc.low)
    assert math.isnan(row.recall.value)


def mixed(tmp_path=Path()):
    plan = plan_of(
        title="Four | rows",
        caption="What it is.",
        rows={
            "VGG16": {"network": "vgg16", "published": "VGG16", "dropout": 0.5},
            "half": {"network": "vgg16", "dropout": 0.2},
            "gone": {"network": "vgg16", "dropout": 0.3},
            "later": {"network": "vgg16", "dropout": 0.1},
        },
        seeds=(0, 1),
    )
    made = [
        record("VGG16", 0, settings={"network": "vgg16", "learning_rate": 0.001, "dropout": 0.5}),
        record("VGG16", 1, settings={"network": "vgg16", "learning_rate": 0.001, "dropout": 0.5}, val_accuracy=0.97),
        record("half", 0, settings={"network": "vgg16", "learning_rate": 0.001, "dropout": 0.2}),
        record("half", 1, settings={"network": "vgg16", "learning_rate": 0.001, "dropout": 0.2}, message="too <big>"),
        record("gone", 0, settings={"network": "vgg16", "learning_rate": 0.001, "dropout": 0.3}, message="loss is NaN"),
    ]
    return plan, summaries(plan, made, tmp_path)


def test_markdown_holds_the_study_s_columns_and_the_failures():
    plan, rows = mixed()
    text = render_markdown(plan, rows, unfinished=3)
    first = next(line for line in text.splitlines() if line.startswith("| VGG16 | random"))
    assert first.startswith("| VGG16 | random | 2 | 0.001 | 12.2 | 80 + 20 | 15,527,410 | 15,526,606 | 804 | 96.0 (")
    assert first.endswith(" | 95 |")
    assert "| gone | random |  | 0.001 |  |  |  |  |  | failed |  |" in text
    assert "- gone: loss is NaN" in text
    assert "3 trainings are not finished yet: the same command goes on." in text
    # Dropout differs between the rows, so it has a column.
    assert "| CNN | dropout | AUROC |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| half")}
    assert widths == {12, 9}


def test_csv_holds_plain_numbers():
    _, rows = mixed()
    table = {line["row"]: line for line in csv.DictReader(io.StringIO(render_csv(rows)))}
    assert float(table["VGG16"]["accuracy"]) == pytest.approx(0.96)
    assert float(table["VGG16"]["published_accuracy"]) == 0.95
    assert [table[name]["status"] for name in ("VGG16", "half", "gone")] == ["ok", "partly failed", "failed"]
    assert (table["half"]["seeds"], table["gone"]["accuracy"]) == ("0", "")


def test_page_is_self_contained_and_escapes(tmp_path):
    plan, rows = mixed(tmp_path)
    for row in rows:
        for path in row.histories:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("epoch,train_loss,val_loss,train_accuracy,val_accuracy\n0,1,1,0.5,0.5\n1,0.5,,0.9,0.8\n")
    page = render_page(plan, rows, unfinished=1)
    assert "$" not in page
    assert not re.search(r"(src|href)=|https?://|@import", page)
    assert "too &lt;big&gt;" in page
    assert "<big>" not in page
    assert page.count('<figure class="history">') == 2
    # Two rows with a seed each and one more of the first: three curves of two points and one of a single point.
    assert (page.count("<polyline"), page.count('<circle class="val"')) == (3 * 3, 3)
    assert "1 training is not finished yet" in page


def test_history_keeps_what_is_not_a_number_as_nan(tmp_path):
    (tmp_path / "h.csv").write_text("epoch,val_loss\n0,0.5\n1,\n2,nan\n")
    history = read_history(tmp_path / "h.csv")
    assert history["epoch"] == [0, 1, 2]
    assert history["val_loss"][0] == 0.5
    assert all(map(math.isnan, history["val_loss"][1:]))


def test_charts_put_better_higher_and_to_the_right():
    chart = chart_accuracies([("low", Figure(0.6), None), ("high", Figure(0.9, 0.85, 0.95), 53.0)])
    low, high = (float(text) for text in re.findall(r'class="ours" cx="([\d.]+)"', chart))
    assert high - low == pytest.approx(0.6 * 520, abs=0.2)
    assert "the 2019 study: 53 %" in chart
    history = chart_history([{"train_accuracy": [0.5, 0.9], "val_accuracy": [0.5, math.nan]}])
    (points,) = re.findall(r'<polyline class="train" points="([^"]+)"', history)
    (_, before), (_, after) = (pair.split(",") for pair in points.split())
    assert float(after) < float(before)
    assert '<circle class="val"' in history


def test_curves_go_up_with_accuracy_and_right_by_factors():
    points = {10: Figure(0.6, 0.5, 0.7), 100: Figure(0.8), 1000: Figure(0.9)}
    drawn = chart_curves({"from nothing": points, "a <b>": {10: Figure(0.7), 100: Figure(math.nan)}})
    lines = re.findall(r'<polyline points="([^"]*)"', drawn)
    assert len(lines) == 2
    (x0, y0), (x1, y1), (x2, y2) = (tuple(map(float, point.split(","))) for point in lines[0].split())
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert (y0 - y1) == pytest.approx(2 * (y1 - y2), abs=0.2)
    # What failed is left out; an interval is drawn where there is one.
    assert len(lines[1].split()) == 1
    assert len(re.findall(r'<line x1="[^"]*" x2="[^"]*" y1', drawn)) == 1
    assert "a &lt;b&gt;" in drawn
    assert chart_curves({"one": {10: Figure(0.6)}}) == chart_curves({}) == ""


def test_rows_of_one_name_and_many_numbers_of_examples_are_a_curve(tmp_path):
    plan = plan_of(rows={"VGG16": {"network": "vgg16", "examples": [10, 30]}, "ResNet50": {"network": "resnet50"}})
    rows = summaries(plan, [record(row.name, settings=row.settings) for row in plan.rows])
    rows = tuple(row._replace(histories=()) for row in rows)
    page = render_page(plan, rows, unfinished=0)
    assert page.count("<polyline points") == 1
    assert "VGG16</span>" in page
    assert ">30</text>" in page


def test_a_chart_without_scores_is_empty():
    assert chart_accuracies([("a", Figure(math.nan), None)]) == ""


def test_record_round_trip_and_damage(tmp_path):
    made = record("a", val_auroc=None)
    made.write(tmp_path)
    assert read_record(tmp_path) == made
    (tmp_path / "record.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"record\.json: is not a record of this version's .*delete it"):
        read_record(tmp_path)
    assert read_record(tmp_path / "nowhere") is None


def test_setting_changes_lists_what_differs_and_what_is_new():
    assert setting_changes({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None, "d": 4}) == ["b: 2 -> 3", "d: None -> 4"]
    # An option that an older version did not have: its default changes nothing.
    assert setting_changes({}, {"dropout": 0.5, "momentum": 0.8}) == ["momentum: 0.9 -> 0.8"]


def test_presets_are_found_once_and_checked():
    assert load_preset("smoke") is load_preset("smoke")


def test_training_on_patches_that_are_there_needs_no_raster_library():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('rasterio', 'rioxarray', 'geopandas', 'pyogrio')));"
        "import fringewatch.study.run, fringewatch.training.classifier.run"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
