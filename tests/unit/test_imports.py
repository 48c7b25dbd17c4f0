"""Layering: a module imports only from modules above it, and light commands stay light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fringewatch

ROOT = Path(fringewatch.__file__).parent

# From the bottom up: a module may import from those before it.
LEVELS = (
    *("_version", "errors", "conventions", "config", "files", "progress", "parallel", "compiled", "figures", "pages"),
    *("interferogram", "products", "fetch", "patches", "physics", "simulate", "encoding", "fringes"),
    *("corrections", "prepare"),
    *("models", "scan", "metrics", "networks", "training", "study"),
    *(
        "regions",
        "report",
        "info",
        "sites",
        "catalog",
        "detect",
        "evaluate",
        "alerts",
        "timeline",
        "review",
        "flags",
        "cli",
    ),
    *("__main__",),
)

# Who may import what is heavy or optional, at any depth of a function.
HOMES = {
    "torch": {"networks", "training"},
    "lightning": {"training"},
    "torchmetrics": {"training"},
    "matplotlib": {"figures", "report"},
    "rasterio": {"products", "detect"},
    "rioxarray": {"products", "interferogram", "regions", "detect"},
    "onnxruntime": {"models", "training"},
    "fastapi": {"review"},
    "numba": {"compiled"},
}


def imports(path):
    """Yield the dotted names that a file imports anywhere but under TYPE_CHECKING."""

    def visit(node):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for child in node.orelse:
                yield from visit(child)
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "fringewatch":
                yield from (f"fringewatch.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")))


def level(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def test_every_module_has_a_level():
    assert {level(path) for path in SOURCES} <= set(LEVELS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_above(path):
    mine = LEVELS.index(level(path))
    for name in imports(path):
        if name.startswith("fringewatch."):
            other = name.split(".")[1]
            assert LEVELS.index(other) <= mine, f"{path.name} imports {name}, which stands below it"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_packages_have_a_home(path):
    for name in imports(path):
        allowed = HOMES.get(name.split(".")[0])
        assert allowed is None or level(path) in allowed, f"{path.name} imports {name}; only {allowed} may"


def python(code):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, fringewatch; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(python(code).split())
    assert not loaded & {"torch", "matplotlib", "rasterio", "osgeo", "xarray", "geopandas", "onnxruntime", "pandas"}


def test_help_loads_nothing_heavy():
    code = "import sys; from fringewatch.cli import main; main(['--help']); print(*sys.modules)"
    loaded = {name.split(".")[0] for name in python(code).split()}
    assert not loaded & {"torch", "matplotlib", "rasterio", "osgeo", "xarray", "geopandas", "onnxruntime", "pandas"}


def test_importing_the_package_takes_less_than_three_tenths_of_a_second():
    def best(code):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            python(code)
            times.append(time.perf_counter() - started)
        return min(times)

    assert best("import fringewatch") - best("pass") < 0.3


def test_detection_does_not_load_training():
    """`fringewatch detect` works where torch is not installed, and does not pay for Matplotlib."""
    code = "import sys, fringewatch.detect; print(*{name.split('.')[0] for name in sys.modules})"
    assert not set(python(code).split()) & {"torch", "lightning", "matplotlib"}


def test_public_names_exist():
    for name in fringewatch.__all__:
        assert getattr(fringewatch, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Detecter'"):
        fringewatch.Detecter  # noqa: B018


def test_patches_are_simulated_and_trained_on_without_raster_libraries(tmp_path):
    """Machines with a GPU are often bare."""
    code = (
        "import sys\n"
        "for name in ('rasterio', 'rioxarray', 'geopandas', 'pyogrio', 'pyproj', 'affine', 'zarr', 'dask'):\n"
        "    sys.modules[name] = None\n"
        "from fringewatch.simulate.run import SimulateConfig, run\n"
        f"print(run(SimulateConfig(out={str(tmp_path)!r}, count=2, size_px=32, workers=1)).describe())\n"
    )
    assert "2 scenes" in python(code)
