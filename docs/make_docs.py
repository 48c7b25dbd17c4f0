"""Write the parts of the documentation that follow from the code.

python docs/make_docs.py            fill the generated blocks of every page
python docs/make_docs.py --check    change nothing; fail if a page is not what the code says

A page marks a block with ``<!-- generated: NAME -->`` and ``<!-- end -->``, each on a line of its own; what stands
between them is replaced. Needs the extra [train], since every command is looked at.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import re
import sys
import tempfile
import types
import typing
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import numpy as np
from pydantic import BaseModel

from fringewatch import cli, conventions
from fringewatch.alerts import rules
from fringewatch.encoding import Encoding
from fringewatch.errors import ConfigError, require
from fringewatch.models import Calibration, Card, Thresholds
from fringewatch.models import bundle as bundles
from fringewatch.simulate import PRESETS, SceneSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic.fields import FieldInfo

DOCS = Path(__file__).parent
_MARKED = re.compile(r"(?P<start><!-- generated: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_NUMBERS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "yes or no",
    Path: "path",
    dt.date: "date",
}


def render(page: str) -> str:
    """Return a page with all of its generated blocks filled anew.

    Raises
    ------
    ConfigError
        If a block has a name that is not in :data:`BLOCKS`.
    """

    def fill(match: re.Match[str]) -> str:
        if match["name"] not in BLOCKS:
            message = f"generated block {match['name']!r}: unknown; expected one of {', '.join(BLOCKS)}"
            raise ConfigError(message)
        return f"{match['start']}{BLOCKS[match['name']]()}\n{match['end']}"

    return _MARKED.sub(fill, page)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def flags(model: type[BaseModel]) -> dict[str, str]:
    """Return the flag of each field of a settings model, as a user types it; fields only for files have none."""
    found = {}
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        given = extra.get("flag") if isinstance(extra, dict) else None
        flag = str(given or "--" + name.replace("_", "-"))
        if isinstance(extra, dict) and extra.get("positional"):
            found[name] = name.upper() + ("..." if typing.get_origin(field.annotation) is tuple else "")
        elif typing.get_origin(field.annotation) is not dict:
            found[name] = f"{flag}, --no-{flag[2:]}" if field.annotation is bool else flag
    return found


def _commands() -> str:
    require("torch", extra="train")
    parts = []
    for name, verb in cli.VERBS.items():
        model = getattr(importlib.import_module(verb.module), verb.config)
        typed = flags(model)
        rows = [
            (
                f"`{typed[key]}`" if key in typed else f"`{key}`, in a `--config` file only",
                _kind(field),
                _default(field),
                field.description or "",
            )
            for key, field in model.model_fields.items()
        ]
        text = " ".join((model.__doc__ or "").split())
        parts.append(f"## fringewatch {name}\n\n{text}\n\n{table(('flag', 'type', 'default', 'meaning'), rows)}")
    return "\n\n".join(parts)


def _fields(model: type[BaseModel]) -> str:
    rows = ((f"`{key}`", _kind(field), _default(field), field.description) for key, field in model.model_fields.items())
    return table(("key", "type", "default", "meaning"), rows)


def _card_fields() -> str:
    names = {Card: "card.json", Encoding: "encoding", Calibration: "calibration, scene_calibration"}
    names[Thresholds] = "thresholds"
    return "\n\n".join(f"### `{name}`\n\n{_fields(model)}" for model, name in names.items())


def _kind(field: FieldInfo) -> str:
    return _kind_of(field.annotation) + _bounds(field)


def _kind_of(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _NUMBERS:
        return _NUMBERS[annotation]
    if origin is Annotated:
        return _kind_of(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(_kind_of(argument) for argument in arguments if argument is not type(None))
    if origin is tuple and arguments[-1] is Ellipsis:
        return f"any number of: {_kind_of(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} x {_kind_of(arguments[0])}"
    if origin is dict or annotation is dict:
        return "mapping"
    return f"`{annotation.__name__}`" if isinstance(annotation, type) else "any"


def _channel_fields() -> str:
    kinds = {"file": rules.FileChannel, "email": rules.EmailChannel, "webhook": rules.WebhookChannel}
    return "\n\n".join(f"`type: {name}`\n\n{_fields(model)}" for name, model in kinds.items())


def _bounds(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    limits = [
        f"{sign} {getattr(part, name):g}"
        for name, sign in signs.items()
        for part in field.metadata
        if getattr(part, name, None) is not None
    ]
    return f" ({', '.join(limits)})" if limits else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    return _value(field.get_default(call_default_factory=True))


def _value(value: Any) -> str:
    if value is None or value in ("", (), {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(_value(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(part)}" for key, part in value.items())
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, BaseModel):
        return "its own defaults"
    return f"`{value}`" if isinstance(value, str | Path) else str(value)


def _presets() -> str:
    base = SceneSpec()
    rows = []
    for name, spec in PRESETS.items():
        rows.append((f"`{name}`", "; ".join(_changed(spec, base)) or "the defaults below"))
    return table(("preset", "fields that differ from the defaults"), rows)


def _changed(model: BaseModel, base: BaseModel, prefix: str = "") -> list[str]:
    """Return what differs between two models of one kind, models inside them field by field."""
    found: list[str] = []
    for key in type(model).model_fields:
        value, usual = getattr(model, key), getattr(base, key)
        if isinstance(value, BaseModel):
            found += _changed(value, usual, f"{prefix}{key}.")
        elif value != usual:
            found.append(f"`{prefix}{key}` = {_value(value)}")
    return found


def _constants() -> str:
    wavelength_m = conventions.SENTINEL1_WAVELENGTH_M
    rows = (
        ("wavelength of Sentinel-1", f"{100 * wavelength_m:.5f} cm"),
        ("one fringe of LOS motion, half a wavelength", f"{50 * wavelength_m:.4f} cm"),
        ("one radian of LOS motion", f"{100 * wavelength_m / (4 * np.pi):.4f} cm"),
        ("most LOS motion between two neighbouring pixels, a quarter of a wavelength", f"{25 * wavelength_m:.4f} cm"),
    )
    return table(("quantity", "value"), rows)


def _exit_codes() -> str:
    text = " ".join((cli.main.__doc__ or "").partition("Returns")[2].split())
    codes = re.findall(r"(\d+): ([^;]+?)[;.]", text)
    return table(("code", "meaning"), codes)


def _source_ranges() -> str:
    spec = SceneSpec()
    rows = []
    for key, field in SceneSpec.model_fields.items():
        ranges = getattr(spec, key)
        if not isinstance(ranges, BaseModel):
            continue
        for name, part in type(ranges).model_fields.items():
            value = getattr(ranges, name)
            low, high = value if isinstance(value, tuple) else (value, "")
            rows.append((f"`{key}`", f"`{name}`", _quantity(low), _quantity(high), part.description))
        assert field.description, key
    return table(("source", "parameter", "from", "to", "what"), rows)


def _quantity(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if value >= 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _scaling() -> str:
    from fringewatch.physics.sources import scaling

    rows = (
        (law, style, *(f"{number:g}" for pair in sizes for number in pair))
        for law, styles in scaling._COEFFICIENTS.items()
        for style, sizes in styles.items()
    )
    said = f"Shear modulus: {scaling.SHEAR_MODULUS_PA / 1e9:g} GPa."
    return f"{table(('law', 'style', 'length: a', 'b', 'width: a', 'b'), rows)}\n\n{said}"


def _turbulence() -> str:
    from fringewatch.physics.atmosphere import SMOOTH, THREE_REGIMES

    rows = []
    for name, law in (("three regimes", THREE_REGIMES), ("smooth", SMOOTH)):
        ends = ["longest", *(f"{length_m:g} m" for length_m in law.breaks_m), "shortest"]
        rows += [
            (name, f"{longer} to {shorter}", Fraction(slope).limit_denominator(9))
            for longer, shorter, slope in zip(ends, ends[1:], law.slopes, strict=False)
        ]
    return table(("law", "wavelengths", "slope of the power spectrum"), rows)


def _network() -> str:
    torch = require("torch", extra="train")
    from fringewatch.networks.fringenet import FringeNet, receptive_radius_px

    network = FringeNet().eval()
    parts = []
    for name, child in network.named_children():
        several = isinstance(child, torch.nn.ModuleList)
        parts += [(f"{name}.{i}", part) for i, part in enumerate(child)] if several else [(name, child)]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, part in parts:
        part.register_forward_hook(lambda _module, _in, out, name=name: shapes.update({name: tuple(out.shape)}))
    side = 4 * network.multiple
    with torch.inference_mode():
        network(torch.zeros(1, 3, side, side))
    rows = []
    for name, part in parts:
        shape = shapes[name]
        stride = str(side // shape[2]) if len(shape) == 4 else "whole scene"
        rows.append((f"`{name}`", _layers(part, torch), shape[1], stride, f"{_count(part):,}"))
    widths = [*network.settings["stem"], *network.settings["widths"]]
    said = (
        f"{_count(network):,} parameters; stem and stages {' '.join(map(str, widths))} channels wide. The sides of the "
        f"input are multiples of {network.multiple} px, the map has a stride of {network.stride} px, and no input "
        f"farther than {receptive_radius_px(network)} px from a map pixel can change it."
    )
    return f"{table(('part', 'layers', 'channels', 'stride (px)', 'parameters'), rows)}\n\n{said}"


def _layers(part: Any, torch: Any) -> str:
    kinds: Counter[str] = Counter()
    for module in part.modules():
        if isinstance(module, torch.nn.Conv2d):
            kernel, stride = module.kernel_size[0], module.stride[0]
            kinds[f"convolution {kernel} x {kernel}{f', stride {stride}' if stride > 1 else ''}"] += 1
        elif isinstance(module, torch.nn.Linear):
            kinds["linear, on mean and maximum over the scene"] += 1
    return "; ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _optimizers() -> str:
    require("torch", extra="train")
    from fringewatch.training.classifier import optimizers

    kinds = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamax": "Adamax"}
    steps = {
        name: " ".join((getattr(optimizers, kind).__doc__ or "").split("\n\n")[0].split())
        for name, kind in kinds.items()
    }
    # Those of torch, which take the same steps.
    steps["adadelta"] = "as published (Zeiler 2012), rho 0.95, epsilon 1e-7 inside both roots"
    steps["nadam"] = "as published (Dozat 2016), beta 0.9 and 0.999, momentum `0.9 (1 - 0.5 * 0.96^t)`, epsilon 1e-7"
    rows = ((f"`{name}`", steps[name], f"{rate:g}") for name, rate in optimizers.LEARNING_RATES.items())
    return table(("optimiser", "step", "learning rate if not given"), rows)


def _studies() -> str:
    require("torch", extra="train")
    from fringewatch.study.plan import make_plan
    from fringewatch.study.settings import StudyConfig, list_presets

    rows = []
    for name in list_presets():
        plan = make_plan(StudyConfig(preset=name))
        sets = (f"{data.count:,} {key} of {data.size_px} px" for key, data in plan.sets.items())
        epochs = sorted({row.settings["epochs"] for row in plan.rows})
        rows.append((f"`{name}`", plan.caption, len(plan.rows), "; ".join(sets), " or ".join(map(str, epochs))))
    return table(("preset", "what it compares", "rows", "simulated patches", "epochs"), rows)


def _bundle(name: str) -> str:
    # The one in the package, whatever bundles the user has.
    folder = Path(bundles.__file__).parent / name
    if not (folder / "card.json").is_file():
        return f"The bundle `{name}` is not in the package yet."
    card = Card.model_validate_json((folder / "card.json").read_text(encoding="utf-8"))
    sizes = ", ".join(f"{name} {(folder / file).stat().st_size / 1e6:.1f} MB" for name, file in card.files.items())
    pixels = card.encoding.pixel_size_m
    limits = card.thresholds
    rows: list[tuple[str, object]] = [
        ("name and version", f"{card.name} {card.version}"),
        ("network", f"{card.architecture}, {card.parameters:,} parameters"),
        ("files", sizes),
        ("pixel sizes in training", f"{pixels[0]:g} to {pixels[1]:g} m" if pixels else "any"),
        ("threshold of the scene's score", f"{limits.scene:.4f}"),
        (
            "false alarms at that threshold",
            f"at most {limits.false_alarm_rate:.2%}: {limits.false_alarm_set or 'not measured'}",
        ),
        ("outline of detections at the probability", f"{limits.region_edge:.4f}"),
        ("training samples", f"{card.training['samples']:,}" if "samples" in card.training else "not said"),
        ("licence", card.licence),
        *((f"score: {name}", text) for name, text in _flat(card.scores)),
    ]
    return "\n\n".join([text for text in (card.description,) if text] + [table(("figure", "value"), rows)])


def _mining_benchmark() -> str:
    path = DOCS / "results" / "mining" / "mining.json"
    if not path.is_file():
        return "Not measured yet."
    found = json.loads(path.read_text(encoding="utf-8"))
    names = list(found["thresholds"])
    parts = [
        f"Bundle `{found['model']}` {found['version']}, {found['precision']}. Thresholds: "
        + ", ".join(f"{value:.3f} ({_MEANINGS[name]})" for name, value in found["thresholds"].items())
        + ". In brackets 95 % intervals, by scene."
    ]
    for scenes in found.get("simulated", []):
        rows = [
            (label, *(_interval(scenes[name][key]) for name in names))
            for label, key in (
                ("objects found, of SNR >= 2 and >= 1 fringe", "recall"),
                ("objects found, of those of them that are resolved", "recall_resolved"),
                ("objects found, of all", "recall_all"),
                ("share of detections that are false", "false_share"),
                ("mean IoU of those found", "iou"),
                ("mean IoU of those resolved and found", "iou_resolved"),
            )
        ]
        low, high = scenes["pixels_m"]
        title = (
            f"{scenes['scenes']} simulated scenes of {scenes['size_px']} px, pixels of {low:g} to {high:g} m, seed "
            f"{scenes['seed']}, {scenes[names[0]]['objects']} objects, {scenes[names[0]]['wanted']} of SNR >= 2 and "
            f">= 1 fringe, {scenes[names[0]]['resolved']} of them resolved:"
        )
        parts += [title, table(("", *names), rows)]
        last = scenes[names[-1]]
        strata = [
            (row["by"], row["group"], row["objects"], _interval(row["recall"]), _interval(row["iou"]))
            for row in last["strata"]
        ]
        parts += [f"The same by stratum, at {names[-1]!r}:", table(("by", "", "objects", "found", "IoU"), strata)]
    if "real" in found:
        rows = [
            (label, *(_interval(found["real"][name][key]) for name in names))
            for label, key in (
                ("patches flagged", "flagged"),
                ("mean IoU of a patch's mask and detections", "patch_iou"),
                ("objects found", "recall"),
                ("mean IoU of those found", "iou"),
                ("share of detections outside the masks", "false_share"),
            )
        ]
        first = found["real"][names[0]]
        parts += [
            f"{first['patches']} real patches of mines with {first['objects']} objects:",
            table(("", *names), rows),
        ]
    if "quiet" in found:
        rows = [
            (f"{fold['patches']} patches of {fold['sites']} {what}", *(_interval(fold[name]) for name in names))
            for fold, what in ((found["quiet"]["holdout"], "hold-out sites"), (found["quiet"]["train"], "other sites"))
        ]
        parts += ["Real quiet patches flagged:", table(("", *names), rows)]
    return "\n\n".join(parts)


_MEANINGS = {"card": "the card's", "few false": "at most 5 % of the detections false in the other half of the scenes"}


def _interval(value: list[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value[0]:.2f}" + ("" if value[1] is None else f" ({value[1]:.2f}-{value[2]:.2f})")


def _flat(scores: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in scores.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict) and set(value) == {"value", "low", "high"}:
            if value["value"] is not None:
                interval = "" if value["low"] is None else f" ({value['low']:.3f} to {value['high']:.3f})"
                found.append((name, f"{value['value']:.3f}{interval}"))
        elif isinstance(value, dict):
            found += _flat(value, f"{name}, ")
        else:
            found.append((name, f"{value:.4f}" if isinstance(value, float) else str(value)))
    return found


def _reads(product: str) -> Callable[[], str]:
    """Return what makes the text of reading a small file of a product, written for it."""

    def read() -> str:
        from fringewatch.products import open_interferogram

        with tempfile.TemporaryDirectory() as folder:
            path = _WRITERS[product](Path(folder))
            found = open_interferogram(path)
        attrs = dict(found.attrs)
        assumptions = attrs.pop("assumptions")
        attrs.pop("source")
        shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in attrs.items()}
        lines = [f"file: {path.name}", f"variables: {', '.join(map(str, found.data_vars))}", f"crs: {found.rio.crs}"]
        lines += [f"{key}: {value}" for key, value in shown.items()]
        lines += (
            ["assumptions:", *(f"- {sentence}" for sentence in assumptions)] if assumptions else ["assumptions: none"]
        )
        return "\n".join(["```text", *lines, "```"])

    return read


def _small_phase() -> np.ndarray:
    rows, columns = np.mgrid[:48, :64].astype(np.float32)
    return np.asarray(7 * np.exp(-((rows - 24) ** 2 + (columns - 32) ** 2) / 200) - 1, np.float32)


def _write_small_licsar(folder: Path) -> Path:
    from affine import Affine

    from fringewatch.interferogram import make_interferogram
    from fringewatch.products.licsar import write_licsar

    scene = make_interferogram(
        conventions.wrap(_small_phase()),
        wavelength_m=conventions.SENTINEL1_WAVELENGTH_M,
        transform=Affine(0.001, 0, -30, 0, -0.001, 0),
        crs="EPSG:4326",
        companions={"coherence": np.full((48, 64), 0.7)},
    )
    return write_licsar(
        folder, scene, frame="000A_00000_000000", reference_date="2018-06-01", secondary_date="2018-06-13"
    )


def _write_small_tif(path: Path, values: np.ndarray) -> Path:
    import rasterio
    from affine import Affine

    grid = {"crs": "EPSG:32633", "transform": Affine(80, 0, 500_000, 0, -80, 4_500_000)}
    profile = {"driver": "GTiff", "height": values.shape[0], "width": values.shape[1], "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", **profile, **grid) as target:
        target.write(values.astype(np.float32), 1)
    return path


def _write_small_hyp3(folder: Path) -> Path:
    base = folder / "S1AA_20190610T135156_20190622T135157_VVP012_INT80_G_ueF_F8BF"
    _write_small_tif(Path(f"{base}_corr.tif"), np.full((48, 64), 0.6))
    Path(f"{base}.txt").write_text("Reference Granule: S1A_IW_SLC__1SDV_20190610T135156\n", encoding="utf-8")
    return _write_small_tif(Path(f"{base}_unw_phase.tif"), _small_phase())


def _write_small_geotiff(folder: Path) -> Path:
    values = _small_phase()
    values[:, :6] = 0
    return _write_small_tif(folder / "crater_20200101_20200113.tif", values)


def _write_small_picture(folder: Path) -> Path:
    from PIL import Image

    path = folder / "20200101_20200113.png"
    grey = np.rint((conventions.wrap(_small_phase()) + np.pi) * (255 / (2 * np.pi))).astype(np.uint8)
    Image.fromarray(grey).save(path)
    return path


_FORMS = {
    "dolphin": "dolphin",
    "snap": "snap, real and imaginary",
    "isce": "isce, geocoded",
    "roipac": "roipac, radar",
    "licsbas": "licsbas",
    "gamma": "gamma, radar",
    "gmtsar": "gmtsar",
    "opera": "opera, unwrapped",
    "nisar": "nisar",
    "aria": "aria, unwrapped",
    "mintpy": "mintpy, stack",
}
"""The form of each product that the pages show, by its name among the writers of the tests."""


def _test_writer(name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        tests = str(DOCS.parent / "tests")
        if tests not in sys.path:
            sys.path.append(tests)
        product_writers = importlib.import_module("product_writers")
        writers = product_writers.WRITERS | importlib.import_module("hdf5_writers").WRITERS
        path: Path = writers[name](folder, product_writers.Scene()).path
        return path

    return write


_WRITERS: dict[str, Callable[[Path], Path]] = {
    "licsar": _write_small_licsar,
    "hyp3": _write_small_hyp3,
    "geotiff": _write_small_geotiff,
    "image": _write_small_picture,
    **{product: _test_writer(name) for product, name in _FORMS.items()},
}

BLOCKS: dict[str, Callable[[], str]] = {
    "cli": _commands,
    "exit-codes": _exit_codes,
    "constants": _constants,
    "presets": _presets,
    "spec": lambda: _fields(SceneSpec),
    "source-ranges": _source_ranges,
    "scaling": _scaling,
    "turbulence": _turbulence,
    "network": _network,
    "optimizers": _optimizers,
    "studies": _studies,
    "card-fields": _card_fields,
    "alert-rule": lambda: _fields(rules.Rule),
    "alert-channels": _channel_fields,
    "default-bundle": lambda: _bundle(bundles.DEFAULT_BUNDLE),
    "mining-bundle": lambda: _bundle("mining"),
    "small-bundle": lambda: _bundle("fringenet-s"),
    "mining-benchmark": _mining_benchmark,
    **{f"reads-{product}": _reads(product) for product in _WRITERS},
}


def main(arguments: Sequence[str]) -> int:
    """Fill the pages, or with ``--check`` compare them; return 1 where one was out of date and is only checked."""
    check = "--check" in arguments
    stale = []
    for path in sorted([*DOCS.glob("*.md"), *DOCS.glob("products/*.md")]):
        before = path.read_text(encoding="utf-8")
        after = render(before)
        if after != before:
            stale.append(str(path.relative_to(DOCS)))
            if not check:
                path.write_text(after, encoding="utf-8")
    word = "out of date" if check else "written"
    sys.stdout.write("".join(f"{word}: docs/{name}\n" for name in stale))
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
