"""The command line: verbs, flags made from the settings, configuration files, errors and exit codes."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

from fringewatch import __version__, cli
from fringewatch.config import Config
from fringewatch.errors import ProductError
from fringewatch.models import load_bundle, save_bundle


class Settings(Config):
    """Count to a number."""

    inputs: tuple[str, ...] = Field((), description="Things to count.", json_schema_extra={"positional": True})
    limit: int = Field(3, ge=1, description="Where to stop.")
    aloud: bool = Field(False, description="Say it.")
    label: str | None = Field(None, description="What to call it.")


class Result:
    exit_code = 3

    def describe(self):
        return "counted"


@pytest.fixture
def verb(monkeypatch):
    """A verb `count`; gives the list of settings that its run was called with."""
    calls = []

    def run(settings):
        calls.append(settings)
        if settings.label == "broken":
            message = "broken.tif: is broken"
            raise ProductError(message)
        if settings.label == "stop":
            raise KeyboardInterrupt
        return Result()

    module = type(sys)("counting")
    module.Settings, module.run = Settings, run
    monkeypatch.setitem(sys.modules, "counting", module)
    monkeypatch.setitem(cli.VERBS, "count", cli.Verb("counting", "Settings", "run", "count"))
    return calls


def test_flags_come_from_the_settings(verb, capsys):
    assert cli.main(["count", "a", "b", "--limit", "5", "--aloud", "--label", "x"]) == 3
    assert verb == [Settings(inputs=("a", "b"), limit=5, aloud=True, label="x")]
    assert isinstance(verb[0], Settings)
    assert capsys.readouterr().out == "counted\n"


def test_defaults(verb):
    cli.main(["count"])
    assert verb == [Settings()]


def test_help_of_a_verb_explains_every_field(verb, capsys):
    assert cli.main(["count", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert text.startswith("usage: fringewatch count")
    for part in ("Count to a number.", "Things to count.", "Where to stop.", "(default: 3)", "--aloud, --no-aloud"):
        assert part in text
    assert "--config FILE.yaml" in text
    assert verb == []


def test_config_gives_defaults_and_flags_override(verb, tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("inputs: [a]\nlimit: 7\naloud: true\n")
    cli.main(["count", "--config", str(path)])
    cli.main(["count", "b", f"--config={path}", "--no-aloud"])
    assert verb == [Settings(inputs=("a",), limit=7, aloud=True), Settings(inputs=("b",), limit=7, aloud=False)]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["count", "--limit", "0"], 2, "fringewatch: count: limit = 0: Input should be greater than or equal to 1"),
        (["count", "--config"], 2, "fringewatch: --config: expected the name of a YAML file"),
        (["count", "--config", "no.yaml"], 2, "fringewatch: no.yaml: cannot be read"),
        (["count", "--label", "broken"], 1, "fringewatch: broken.tif: is broken"),
        (["count", "--label", "stop"], 130, "fringewatch: stopped"),
        (["coutn"], 2, "fringewatch: unknown command 'coutn'; did you mean 'count'?"),
        (["frobnicate"], 2, "fringewatch: unknown command 'frobnicate'; expected one of: detect, info,"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(verb, capsys, arguments, code, expected):
    assert cli.main(arguments) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(expected)


def test_an_unknown_key_in_a_config_file(verb, capsys, tmp_path):
    (tmp_path / "s.yaml").write_text("limmit: 3\n")
    assert cli.main(["count", "--config", str(tmp_path / "s.yaml")]) == 2
    assert "unknown key 'limmit'; did you mean 'limit'?" in capsys.readouterr().err
    assert verb == []


def test_an_unknown_flag(verb, capsys):
    assert cli.main(["count", "--limmit", "3"]) == 2
    captured = capsys.readouterr()
    assert "--limit" in captured.err + captured.out  # the suggestion
    assert verb == []


def test_usage_and_version(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in cli.VERBS.items():
        assert f"  {name}" in text
        assert verb.summary in text
    assert cli.main([]) == 2
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"fringewatch {__version__}"


@pytest.mark.parametrize("name", cli.VERBS)
def test_every_verb_exists(name):
    verb = cli.VERBS[name]
    if name == "train":
        pytest.importorskip("lightning", reason="needs the [train] extra")
    module = importlib.import_module(verb.module)
    assert issubclass(getattr(module, verb.config), Config)
    assert callable(getattr(module, verb.run))
    with pytest.raises(SystemExit) as stop:
        cli._parse(name, getattr(module, verb.config), ["--help"])
    assert stop.value.code == 0


def test_models_lists_and_prints(tiny_bundle_folder, monkeypatch, capsys):
    monkeypatch.setenv("FRINGEWATCH_MODELS", str(tiny_bundle_folder.parent))
    assert cli.main(["models"]) == 0
    assert any(line.startswith("tiny ") for line in capsys.readouterr().out.splitlines())
    assert cli.main(["models", "tiny"]) == 0
    text = capsys.readouterr().out
    assert "name: tiny" in text
    assert "halo_px: 24" in text
    assert cli.main(["models", "tinny"]) == 1
    assert "did you mean 'tiny'?" in capsys.readouterr().err


def test_models_of_one_precision_and_damaged_ones(tiny_bundle_folder, tmp_path, monkeypatch, capsys):
    card = load_bundle(tiny_bundle_folder).card
    for name in ("single", "broken"):
        folder = shutil.copytree(tiny_bundle_folder, tmp_path / name)
        save_bundle(folder, card.model_copy(update={"name": name, "files": {"float32": "model.onnx"}}))
    (tmp_path / "broken" / "model.onnx").write_bytes(b"")
    monkeypatch.setenv("FRINGEWATCH_MODELS", str(tmp_path))
    assert cli.main(["models"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "100 parameters" in lines["single"]
    assert "pixels of any size" in lines["single"]
    assert lines["fringenet"].endswith("the default")
    assert "pixels of 5-120 m" in lines["fringenet"]
    assert "unusable:" in lines["broken"]
    assert "changed or damaged" in lines["broken"]
    assert cli.main(["models", "broken"]) == 1


def test_models_say_what_each_is_for(tiny_bundle_folder, tmp_path, monkeypatch, capsys):
    card = load_bundle(tiny_bundle_folder).card
    encoding = card.encoding.model_copy(update={"pixel_size_m": (5.0, 100.0)})
    folder = shutil.copytree(tiny_bundle_folder, tmp_path / "mining")
    told = {"name": "mining", "encoding": encoding, "description": "Finds troughs over mines. Not volcanoes."}
    save_bundle(folder, card.model_copy(update=told))
    monkeypatch.setenv("FRINGEWATCH_MODELS", str(tmp_path))
    assert cli.main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.startswith("mining "))
    assert "pixels of 5-100 m" in lines[place]
    assert lines[place + 1].strip() == "Finds troughs over mines."
    # Several are found at once, each by its own name.
    assert sum(not line.startswith(" ") for line in lines) >= 2


def test_the_installed_command_runs():
    script = Path(sys.executable).parent / "fringewatch"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fringewatch {__version__}\n"


def test_a_reader_that_goes_away_is_no_error():
    """`fringewatch detect ... | head` must not end in a traceback."""
    code = "import sys; from fringewatch.cli import main; sys.stdin.read(); sys.exit(main(['--help']))"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    child.stdout.close()
    child.stdin.close()
    errors = child.stderr.read()
    child.stderr.close()
    assert child.wait(30) == 0
    assert errors == b""
