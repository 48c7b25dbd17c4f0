"""``fringewatch VERB ...``: each verb is one settings model and one function ``run(settings)``.

A verb's module is imported only when the verb is used, so that ``fringewatch --help`` needs neither GDAL nor torch.
The flags are the fields of the settings model; ``--config file.yaml`` gives other defaults, and flags override it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from fringewatch._version import __version__
from fringewatch.config import Config
from fringewatch.errors import ConfigError, FringewatchError, require

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.models import Card

__all__ = ["VERBS", "ModelsConfig", "Verb", "main", "run_models"]


class Verb(NamedTuple):
    """Where a verb lives, and what it does in a few words."""

    module: str
    config: str
    run: str
    summary: str
    needs: tuple[str, str] | None = None
    """A package that the light install lacks, and the extra that brings it."""


_TORCH = ("torch", "train")

VERBS = {
    "detect": Verb("fringewatch.detect", "DetectConfig", "run", "find deformation in interferograms"),
    "info": Verb("fringewatch.info", "InfoConfig", "run", "tell what files are and what is assumed of them"),
    "fetch licsar": Verb("fringewatch.fetch", "FetchLicsarConfig", "fetch_licsar", "fetch a frame's pairs from LiCSAR"),
    "fetch hyp3": Verb("fringewatch.fetch", "FetchHyp3Config", "fetch_hyp3", "fetch finished jobs from ASF HyP3"),
    "simulate": Verb("fringewatch.simulate.run", "SimulateConfig", "run", "make interferograms with known deformation"),
    "prepare": Verb("fringewatch.prepare", "PrepareConfig", "run", "cut interferograms into labelled patches"),
    "train": Verb(
        "fringewatch.training.run", "TrainConfig", "run", "train a network and export a model bundle", _TORCH
    ),
    "train-cnn": Verb(
        "fringewatch.training.classifier",
        "ClassifierConfig",
        "run",
        "train one of the study's CNNs on labelled patches",
        _TORCH,
    ),
    "query": Verb("fringewatch.catalog.command", "QueryConfig", "run", "ask a catalogue what was found"),
    "alerts": Verb("fringewatch.alerts", "AlertsConfig", "run", "tell of new events in a catalogue, each once"),
    "timeline": Verb("fringewatch.timeline", "TimelineConfig", "run", "draw a site's scores and alerts against time"),
    "evaluate": Verb("fringewatch.evaluate", "EvaluateConfig", "run", "score a model on labelled interferograms"),
    "networks": Verb(
        "fringewatch.networks.listing",
        "NetworksConfig",
        "run",
        "list the study's networks with their parameters",
        _TORCH,
    ),
    "study": Verb(
        "fringewatch.study.run", "StudyConfig", "run", "train many networks and compare them in a table", _TORCH
    ),
    "models": Verb("fringewatch.cli", "ModelsConfig", "run_models", "list the model bundles, or print one's card"),
}


class ModelsConfig(Config):
    """List the model bundles that `--model` finds by name, or print the card of one."""

    model: str = Field(
        "", description="Name or folder of a bundle whose card is printed.", json_schema_extra={"positional": True}
    )


def run_models(config: ModelsConfig) -> None:
    """Print the table of bundles, or one card as YAML.

    Raises
    ------
    BundleError
        If the bundle is missing or its card is wrong.
    """
    import yaml

    from fringewatch.errors import BundleError
    from fringewatch.models import list_bundles
    from fringewatch.models.bundle import DEFAULT_BUNDLE

    if config.model:
        card = _card(config.model)
        print(yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110), end="")
        return
    found = list_bundles()
    if not found:
        print("no model bundles found")
    for name, folder in found.items():
        try:
            card = _card(folder)
        except BundleError as error:
            print(f"{name:20} unusable: {error}")
        else:
            low, high = card.encoding.pixel_size_m or (0.0, 0.0)
            pixels = f"pixels of {low:g}-{high:g} m" if high else "pixels of any size"
            default = ", the default" if name == DEFAULT_BUNDLE else ""
            print(f"{name:20} {card.version:12} {pixels}, {card.parameters:,} parameters{default}")
            purpose = card.description.partition(". ")[0].removesuffix(".")
            indent = " " * 21
            width = max(shutil.get_terminal_size().columns - 1, 60)
            if purpose:
                print(textwrap.fill(f"{purpose}.", width, initial_indent=indent, subsequent_indent=indent))
            print(f"{indent}{folder}")


def _card(model: str | Path) -> Card:
    """Return a bundle's card once the hashes of its networks are right."""
    from fringewatch.models import checked_file, find_bundle, read_card

    folder = find_bundle(model)
    card = read_card(folder)
    for name in card.files.values():
        checked_file(folder, card, name)
    return card


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments
        Without the program's name; None takes ``sys.argv``.

    Returns
    -------
    int
        0: done; 1: nothing could be done; 2: the command line is wrong; 3: part of the input failed; 130: stopped by
        the user.
    """
    try:
        code = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; the interpreter must not try to flush to it either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in {"-h", "--help", "help"}:
        print(_usage())
        return 0 if given else 2
    if given[0] in {"-V", "--version"}:
        print(f"fringewatch {__version__}")
        return 0
    name, rest = _split_verb(given)
    if name not in VERBS:
        group = [verb for verb in VERBS if verb.startswith(f"{name} ")]
        if group and rest[:1] in (["-h"], ["--help"]):
            print("\n".join(f"fringewatch {verb:24}{VERBS[verb].summary}" for verb in group))
            return 0
        if group:
            return _fail(f"{name}: expected {' or '.join(group)} (each explains itself with --help)", code=2)
        near = difflib.get_close_matches(name, list(VERBS), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(VERBS)}"
        return _fail(f"unknown command {name!r}; {hint} (fringewatch --help lists them)", code=2)
    try:
        return _run(name, VERBS[name], rest)
    except SystemExit as stop:
        # The parser of flags leaves this way, after --help and after a wrong flag.
        return stop.code if isinstance(stop.code, int) else 2
    except ConfigError as error:
        return _fail(str(error), code=2)
    except FringewatchError as error:
        return _fail(str(error), code=1)
    except KeyboardInterrupt:
        return _fail("stopped", code=130)


def _split_verb(given: Sequence[str]) -> tuple[str, list[str]]:
    """Split the arguments into a verb of one or two words and the rest."""
    two = " ".join(given[:2])
    return (two, list(given[2:])) if two in VERBS else (given[0], list(given[1:]))


def _run(name: str, verb: Verb, arguments: Sequence[str]) -> int:
    if verb.needs is not None:
        require(verb.needs[0], extra=verb.needs[1])
    module = importlib.import_module(verb.module)
    config = _parse(name, getattr(module, verb.config), arguments)
    result = getattr(module, verb.run)(config)
    if hasattr(result, "describe"):
        print(result.describe())
    code: int = getattr(result, "exit_code", 0)
    return code


def _parse(name: str, model: type[Config], arguments: Sequence[str]) -> Config:
    import tyro

    from fringewatch.flags import flags_of

    rest, file = _take_config(arguments)
    parsed = tyro.cli(
        flags_of(model, {} if file is None else _load(model, file)),
        prog=f"fringewatch {name}",
        args=rest,
        description=f"{(model.__doc__ or '').strip()} --config FILE.yaml gives other defaults; flags override it.",
        config=(tyro.conf.AvoidSubcommands,),
    )
    return model.build(vars(parsed), where=name)


def _take_config(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """Take ``--config FILE`` out of the arguments."""
    rest, file = [], None
    queue = iter(arguments)
    for argument in queue:
        if argument == "--config":
            value = next(queue, None)
            if value is None:
                message = "--config: expected the name of a YAML file after it"
                raise ConfigError(message)
            file = Path(value)
        elif argument.startswith("--config="):
            file = Path(argument.partition("=")[2])
        else:
            rest.append(argument)
    return rest, file


def _load(model: type[Config], file: Path) -> dict[str, Any]:
    """Return the settings that a YAML file gives, validated."""
    loaded = model.from_yaml(file)
    return {key: getattr(loaded, key) for key in loaded.model_fields_set}


def _usage() -> str:
    width = max(map(len, VERBS)) + 2
    verbs = "\n".join(f"  {name:{width}}{verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: fringewatch COMMAND ...\n\nFind ground deformation in InSAR interferograms.\n\n"
        f"{verbs}\n\n"
        "fringewatch COMMAND --help explains a command; fringewatch --version prints the version.\n\n"
        "  fringewatch detect data/*.tif --out results"
    )


def _fail(message: str, *, code: int) -> int:
    print(f"fringewatch: {message}", file=sys.stderr)
    return code
