"""One scene to patches: edges, windows, labels."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.fringes import fringe_edges, windows
from fringewatch.patches import write_patch
from fringewatch.prepare.choose import Choice, choose
from fringewatch.prepare.crops import choose_crops
from fringewatch.prepare.journal import SceneRow
from fringewatch.prepare.labels import Scene, SceneLabels
from fringewatch.products import open_interferogram
from fringewatch.products.licsar import frame_id
from fringewatch.products.names import dates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fringewatch.fringes import Crops, FringeEdges
    from fringewatch.prepare.labels import Labels
    from fringewatch.prepare.settings import PrepareConfig
    from fringewatch.products import Reference

__all__ = ["prepare_scene", "site_of"]

_KINDS = {
    "candidate": "patch: background",
    "without_edges": "no strong edges",
    "partial": "deformation at the border",
    "missed": "deformation without strong edges",
    "no_data": "too little data",
}
_CROP_KINDS = _KINDS | {"without_edges": "background without a pattern", "missed": "deformation without a pattern"}


def prepare_scene(
    reference: Reference, labels: Labels, config: PrepareConfig, *, picture: Path | None
) -> tuple[SceneRow, tuple[dict[str, str], ...]]:
    """Cut a scene into labelled patches and write them.

    Parameters
    ----------
    reference
        The scene.
    labels
        Of all scenes.
    config
        Settings; ``config.out`` is the data set's folder.
    picture
        Where its edges and windows are drawn, or None.

    Returns
    -------
    tuple
        The scene's row, and its patches' rows for the manifest.

    Raises
    ------
    ProductError
        If the scene cannot be read, or its labels do not fit it.
    OutputError
        If a patch cannot be written.
    """
    interferogram = open_interferogram(
        reference, kind=config.kind, phase_sign=config.phase_sign, band=config.band, nodata=config.nodata
    )
    scene = Scene.of(reference, interferogram)
    known = labels.of(scene)
    site = (known.site if known else "") or site_of(reference)
    if known is None:
        if config.unlabelled == "skip":
            said = "" if scene.crs_wkt else ", and it has no coordinates that polygons could be laid over"
            return _row(reference, site, [], "unlabelled", f"no label says anything of it{said}"), ()
        known = SceneLabels(np.zeros(scene.shape, np.uint8), site)
    phase = np.asarray(interferogram["phase"].values, np.float32)
    scores: list[float] = []
    size_px, message = config.patch_px, ""
    if size_px is None:
        found, choices, scores = choose_crops(phase, known.classes, config, scene.name)
        if picture is not None:
            _draw_crops(picture, phase, found, known.classes, choices, scene.name)
    else:
        edges = fringe_edges(phase, sigma_px=config.sigma_px, low=config.low, high=config.high)
        choices = choose(
            windows(edges, np.isfinite(phase), size_px=size_px, step_px=config.step_px),
            known.classes,
            min_strong_px=config.min_strong_px,
            min_valid=config.min_valid,
            min_overlap=config.min_overlap,
        )
        if picture is not None:
            _draw(picture, phase, edges, known.classes, choices, scene.name)
        if min(phase.shape) < size_px:
            message = f"smaller than the windows ({phase.shape[0]} x {phase.shape[1]} px): filled up with no data"
    written = {"candidate", "without_edges"} if config.keep_background else {"candidate"}
    patches = [
        _write(choice, phase, known.classes, labels.classes, scene, site, config)
        | ({"score": f"{score:.4f}"} if score is not None else {})
        for choice, score in zip_longest(choices, scores)
        if choice.stage in written
    ]
    return _row(reference, site, choices, message=message), tuple(patches)


def site_of(reference: Reference) -> str:
    """Return the place of a scene: its LiCSAR frame, else the nearest folder above that is no pair of dates."""
    if frame := frame_id(reference.path):
        return frame
    for folder in Path(reference.path.partition("?")[0]).parents:
        if folder.name and not any(dates(folder.name)):
            return folder.name
    return reference.name


def _write(
    choice: Choice,
    phase: NDArray[np.float32],
    classes: NDArray[np.uint8],
    names: Sequence[str],
    scene: Scene,
    site: str,
    config: PrepareConfig,
) -> dict[str, str]:
    window, word = choice.window, names[choice.label]
    # Windows differ by where they begin; crops may begin at one pixel and end at others.
    end = f"_{window.row1 - window.row0}x{window.col1 - window.col0}" if config.crops else ""
    file = f"{word}/{scene.name}_r{window.row0}_c{window.col0}{end}.png"
    (config.out / word).mkdir(exist_ok=True)
    write_patch(config.out / file, window.cut(phase))
    marked = classes[window.row0 : window.row1, window.col0 : window.col1] > 0
    return {
        "file": file,
        "label": word,
        "site": site,
        "scene_group": scene.name,
        **_bounds(marked if choice.label else np.zeros_like(marked)),
        "source": scene.path,
        "reference_date": scene.reference_date,
        "secondary_date": scene.secondary_date,
        "window_row0": str(window.row0),
        "window_col0": str(window.col0),
        "stage": choice.stage,
        "edge_px": str(window.edge_px),
        "strong_px": str(window.strong_px),
        "valid": f"{window.valid_px / window.size:.4f}",
        "overlap": f"{choice.overlap:.4f}",
    }


def _bounds(marked: NDArray[np.bool_]) -> Mapping[str, str]:
    """Return the columns of the box of what is marked, empty where nothing is."""
    rows, cols = (np.flatnonzero(marked.any(axis=axis)) for axis in (1, 0))
    bounds = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1) if len(rows) else ("",) * 4
    return dict(zip(("row0", "row1", "col0", "col1"), map(str, bounds), strict=True))


def _row(reference: Reference, site: str, choices: Sequence[Choice], status: str = "ok", message: str = "") -> SceneRow:
    def count(stage: str) -> int:
        return sum(choice.stage == stage for choice in choices)

    deformation = sum(choice.stage == "candidate" and choice.label > 0 for choice in choices)
    return SceneRow(
        file=reference.address,
        name=reference.name,
        status=status,
        site=site,
        windows=len(choices),
        deformation=deformation,
        background=count("candidate") - deformation,
        without_edges=count("without_edges"),
        partial=count("partial"),
        missed=count("missed"),
        no_data=count("no_data"),
        message=message,
    )


def _draw(
    picture: Path,
    phase: NDArray[np.float32],
    edges: FringeEdges,
    classes: NDArray[np.uint8],
    choices: Sequence[Choice],
    title: str,
) -> None:
    from fringewatch.figures import edge_sheet

    edge_sheet(picture, phase, edges.edges, edges.strong, classes > 0, _boxes(choices, _KINDS), title)


def _draw_crops(
    picture: Path,
    phase: NDArray[np.float32],
    found: Crops,
    classes: NDArray[np.uint8],
    choices: Sequence[Choice],
    title: str,
) -> None:
    from fringewatch.figures import crop_sheet

    activity = np.maximum(found.activity.slope, found.activity.spot)
    patterns = np.zeros(phase.shape, bool)
    for crop in found.crops:
        patterns[crop.candidate.box] |= crop.candidate.region
    maps = {
        "coherence of phase steps": (found.activity.rates.coherence, 1.0),
        "slope or spot over threshold": (activity, 4.0),
    }
    crop_sheet(picture, phase, maps, patterns, classes > 0, _boxes(choices, _CROP_KINDS), title)


def _boxes(choices: Sequence[Choice], kinds: Mapping[str, str]) -> dict[str, list[tuple[int, int, int, int]]]:
    """Return the bounds of the windows by what became of them, patches of deformation first."""
    boxes: dict[str, list[tuple[int, int, int, int]]] = {"patch: deformation": []}
    boxes |= {text: [] for text in kinds.values()}
    for choice in choices:
        kind = "patch: deformation" if choice.label else kinds[choice.stage]
        boxes[kind].append((choice.window.row0, choice.window.row1, choice.window.col0, choice.window.col1))
    return boxes
