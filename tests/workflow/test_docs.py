"""The documentation says what the code does: generated parts, commands, snippets, columns, ranges, links."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib
import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import hdf5_writers
import product_writers
from fringewatch import cli
from fringewatch.models import load_bundle, save_bundle
from fringewatch.models.bundle import DEFAULT_BUNDLE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
if not DOCS.is_dir():
    pytest.skip("the documentation is not part of this distribution", allow_module_level=True)

PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("products/*.md")])
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# Commands that are run; the others (large, remote, or of training) are parsed and their settings checked.
RUN = {"detect", "info", "simulate", "prepare", "evaluate", "models"}
NOT_RUN = re.compile(
    r"https://|s3://|postgresql://|--watch|slurm|data/128D|frame\.zip|items/|float32|mosaic|taal|quiet/ --default"
    r"|--exclude|sinking|28430|--labels"
)
# Products that the pages name, in the folders that their programs make.
WRITERS = product_writers.WRITERS | hdf5_writers.WRITERS
WRITTEN = (
    *("isce, geocoded", "dolphin", "snap, real and imaginary", "gamma, radar", "licsbas", "roipac, radar"),
    *("gmtsar", "opera, unwrapped", "aria, unwrapped", "nisar", "mintpy, stack", "mintpy, time series, unwrapped"),
)


def fenced(page, language):
    return [text for kind, text in FENCED.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page):
    lines = [line[2:] for text in fenced(page, "console") for line in text.splitlines() if line.startswith("$ ")]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("fringewatch ")]


def table_rows(text):
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def section(page, heading):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.fixture(scope="session")
def make_docs():
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def material(tmp_path_factory, tiny_bundle_folder):
    """What the pages name: pairs, an archive, labelled patches, quiet patches, settings files, bundles."""
    import rasterio
    from affine import Affine

    from fringewatch.conventions import wrap
    from fringewatch.interferogram import make_interferogram
    from fringewatch.patches import write_patch
    from fringewatch.products.licsar import write_licsar

    folder = tmp_path_factory.mktemp("docs")
    rows, columns = np.mgrid[:96, :96].astype(np.float32)
    bowl = 25 * np.exp(-((rows - 48) ** 2 + (columns - 48) ** 2) / 300).astype(np.float32) + np.float32(0.1)
    transform = Affine(0.001, 0, -30, 0, -0.001, 0)
    scene = make_interferogram(wrap(bowl), wavelength_m=0.0555, transform=transform, crs="EPSG:4326")
    dates = {"reference_date": "2018-06-01", "secondary_date": "2018-06-13"}
    pair = write_licsar(folder / "archive", scene, frame="000A_00000_000000", **dates)
    shutil.copy(pair, folder)
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "height": 96, "width": 96}
    for name, values in (("crater_20200101_20200113", bowl), ("mosaic", wrap(bowl))):
        with rasterio.open(folder / f"{name}.tif", "w", crs="EPSG:4326", transform=transform, **profile) as target:
            target.write(values, 1)
    relief = (
        (2000 * np.exp(-((rows - 48) ** 2 + (columns - 48) ** 2) / 900)).astype(np.float32).repeat(2, 0).repeat(2, 1)
    )
    with rasterio.open(
        folder / "dem.tif", "w", crs="EPSG:4326", transform=transform, **(profile | {"height": 192, "width": 192})
    ) as target:
        target.write(relief, 1)
    for place in ("patches/deformation", "patches/none", "quiet"):
        (folder / place).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        write_patch(folder / f"patches/deformation/{number}.png", wrap(bowl + np.float32(number)))
        quiet = rng.normal(0, 0.3, (96, 96)).astype(np.float32)
        write_patch(folder / f"patches/none/{number}.png", quiet)
    for number in range(20):
        write_patch(folder / f"quiet/site{number}__0.png", rng.normal(0, 0.3, (96, 96)).astype(np.float32))
    for name in WRITTEN:
        WRITERS[name](folder, product_writers.Scene((96, 96)))
    hdf5_writers.write_mintpy_velocity(folder / "mintpy", product_writers.Scene((96, 96)), days=365)
    for page in PAGES:
        for text in fenced(page, "yaml"):
            (folder / text.split()[1]).write_text(text, encoding="utf-8")
    (folder / "my-model").mkdir()
    shutil.copy(tiny_bundle_folder / "model.onnx", folder / "my-model")
    for place in (f"models/{DEFAULT_BUNDLE}", "models/mining", "path/to/bundle", "runs/mine/my-model"):
        shutil.copytree(tiny_bundle_folder, folder / place)
    patches = shutil.copytree(tiny_bundle_folder, folder / "runs/vgg16/vgg16")
    save_bundle(patches, load_bundle(patches).card.model_copy(update={"patch_px": 32}))
    return folder


@pytest.fixture
def inside(material, monkeypatch):
    """Work in the folder with the material, with a small bundle under the default's name."""
    monkeypatch.chdir(material)
    monkeypatch.setenv("FRINGEWATCH_MODELS", str(material / "models"))
    return material


@pytest.mark.train
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_generated_parts_are_those_of_the_code(page, make_docs):
    for module in ("torch", "lightning"):
        pytest.importorskip(module)
    text = page.read_text(encoding="utf-8")
    assert make_docs.render(text) == text, "out of date: run `python docs/make_docs.py`"


def test_unknown_block_is_refused(make_docs):
    with pytest.raises(make_docs.ConfigError, match=r"'nonsense': unknown; expected one of cli, "):
        make_docs.render("<!-- generated: nonsense -->\n<!-- end -->\n")


def test_index_names_every_page():
    named = set(re.findall(r"^\| \[([\w.-]+)\]", (DOCS / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert named == {page.name for page in PAGES if page.parent == DOCS} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, link


@pytest.mark.parametrize("name", sorted(cli.VERBS))
def test_flags_are_those_that_the_command_takes(name, make_docs, capsys):
    if name == "train":
        pytest.importorskip("lightning")
    verb = cli.VERBS[name]
    model = getattr(importlib.import_module(verb.module), verb.config)
    assert cli.main([*name.split(), "--help"]) == 0
    # A frame is drawn around the options only where the terminal can show it; texts are indented farther.
    option = re.compile(r"^[│ ] (?:-h, )?(--[\w-]+(?:, --[\w-]+)?|[A-Z_]{2,})", re.MULTILINE)
    typed = set(option.findall(capsys.readouterr().out))
    assert {flag.rstrip(".") for flag in make_docs.flags(model).values()} == typed - {"--help"}


@pytest.mark.parametrize(
    "words", [words for page in PAGES for words in commands(page)], ids=lambda words: " ".join(words)[:60]
)
def test_commands_work(words, inside, monkeypatch, capsys):
    name, _ = cli._split_verb(words)
    if name not in cli.VERBS:
        assert cli.main(words) == 0
        return
    if name == "train":
        pytest.importorskip("lightning")
    settings = []
    if "--help" in words:
        assert cli.main(words) == 0
    elif name in RUN and not NOT_RUN.search(" ".join(words)):
        assert cli.main(words) == 0, capsys.readouterr().err
    else:
        verb = cli.VERBS[name]
        monkeypatch.setattr(importlib.import_module(verb.module), verb.run, settings.append)
        assert cli.main(words) == 0, capsys.readouterr().err
        assert len(settings) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets_run(page, inside):
    for text in fenced(page, "python"):
        exec(compile(text, str(page), "exec"), {"__name__": "snippet"})


def test_columns_of_the_summary_are_described():
    from fringewatch.report import SceneRow

    described = [row[0].strip("`") for row in table_rows(section("detect.md", "summary.csv"))]
    assert described == [field.name for field in dataclasses.fields(SceneRow)]


def test_columns_of_prepared_scenes_are_described():
    from fringewatch.prepare.journal import SceneRow

    described = [row[0].strip("`") for row in table_rows(section("prepare.md", "prepare.csv"))]
    assert described == [field.name for field in dataclasses.fields(SceneRow)]


def test_attributes_of_detections_are_described():
    from fringewatch.regions import COLUMNS

    rows = table_rows(section("detect.md", "Attributes of a detection"))
    described = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(described) == sorted(COLUMNS)


def test_files_of_a_run_are_described(inside):
    from fringewatch.detect import DetectConfig, run

    result = run(DetectConfig(inputs=("archive",), out=inside / "listed"))
    name = result.rows[0].name
    rows = table_rows(section("detect.md", "Files"))
    described = {found for row in rows for found in re.findall(r"`([\w.]+)`", row[0])} - {"file"}
    written = {path.name.replace(name, "NAME") for path in (inside / "listed").iterdir()}
    assert result.rows[0].detections
    assert described == written - {".fringewatch-journal.jsonl"}
    # The settings file repeats the run.
    assert cli.main(["detect", "--config", str(result.out / "run.yaml")]) == 0


def test_every_product_has_its_page():
    from fringewatch.products import READERS

    text = (DOCS / "products.md").read_text(encoding="utf-8")
    listed = re.findall(r"\| \[(\w+)\]\(products/\1\.md\) \|", text)
    # Containers of products have no pages of their own.
    assert listed + re.findall(r"^## (\w+)$", text, re.MULTILINE) == [reader.name for reader in READERS]
    for name in listed:
        text = (DOCS / "products" / f"{name}.md").read_text(encoding="utf-8")
        assert text.startswith(f"# {name}\n")
        for row in ("recognised by", "sign", "no data"):
            assert f"| {row} |" in text, name


def test_stated_limits_are_those_of_the_code():
    from fringewatch.detect import batch, outputs
    from fringewatch.products import discovery, raster

    detect = (DOCS / "detect.md").read_text(encoding="utf-8")
    assert f"beyond {raster.EAGER_PIXELS // 10**6} million pixels" in detect
    assert f"steps of 1/{outputs._QUANTUM}" in detect
    assert "at most eight" in detect
    assert batch._MOST_WORKERS == 8
    skipped = re.search(r"those named (.*) are left out", (DOCS / "products.md").read_text(encoding="utf-8"))
    assert set(re.findall(r"`(\w+)`", skipped[1])) == discovery._SKIPPED_FOLDERS - {"__pycache__"}


def test_label_words_of_evaluate_are_those_of_patch_sets():
    from fringewatch.patches import labels

    text = (DOCS / "evaluate.md").read_text(encoding="utf-8")
    positive, _, negative = text.partition("Labels for deformation are")[2].partition("; case")[0].partition(";")
    assert set(re.findall(r"`(\w+)`", positive)) == set(labels._POSITIVE)
    assert set(re.findall(r"`(\w+)`", negative)) == set(labels._NEGATIVE)


def test_presets_hold_as_much_quiet_as_stated():
    from fringewatch.simulate import PRESETS

    shares = {name: spec.kinds["quiet"] / sum(spec.kinds.values()) for name, spec in PRESETS.items()}
    assert shares.pop("quiet") == 1
    assert all(0.45 <= share <= 0.55 for share in shares.values())


def test_what_the_simulator_is_said_not_to_draw():
    text = (DOCS / "physics.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w-]+)`", text.partition("not drawn by the simulator:")[2].partition("\n\n")[0])
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src" / "fringewatch" / "simulate").rglob("*.py")
    )
    assert len(names) > 3
    assert not [name for name in names if re.search(rf"\b{name}\(|{name}[\"']", source)]


def test_example_rules_of_alerts_are_valid(inside):
    from fringewatch.alerts import Rules

    rules = Rules.from_yaml(inside / "rules.yaml")
    assert {channel.type for channel in rules.channels.values()} == {"file", "email", "webhook"}


def test_content_of_alerts_is_described():
    from fringewatch.alerts import Event, Pair, Rule, Site
    from fringewatch.alerts.message import alert_content

    day = dt.date(2020, 1, 1)
    event = Event("r", Site(1, "s", "", "volcano"), (Pair(day, day, 0.9, 1.0, "n", "f"),), (), day)
    described = [
        name for row in table_rows(section("alerts.md", "What is sent")) for name in re.findall(r"`(\w+)`", row[0])
    ]
    assert described == list(alert_content(event, Rule(name="r")))
