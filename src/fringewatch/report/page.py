"""``report.html``: one file that shows a whole run, in any browser, without a network."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
from PIL import Image

from fringewatch.pages import count_box, note, number_cell, page_template, score_cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fringewatch.models import Card
    from fringewatch.report.table import SceneRow

__all__ = ["RunFacts", "embed_picture", "render_report", "report_order"]

_MOST_ROWS = 2000
_MOST_FAILURES = 200
_PICTURE_WIDTH_PX = 860
_BINS = 40


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What the report says of the run as a whole."""

    threshold: float
    precision: str
    version: str
    finished: str
    seconds: float
    kept: int
    """Scenes taken over from an earlier run because nothing about them changed."""
    interrupted: bool
    has_pictures: bool
    has_maps: bool = True


def report_order(rows: Sequence[SceneRow]) -> list[SceneRow]:
    """Return rows as the report lists them: flagged first, then by score; failed files last."""
    return sorted(rows, key=lambda row: (row.status != "ok", not row.flagged, -(row.score or 0.0), row.name))


def embed_picture(path: Path) -> str:
    """Return a scene's picture as a data URI small enough to have many in one page.

    Raises
    ------
    OSError
        If the picture cannot be read.
    """
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_PICTURE_WIDTH_PX, _PICTURE_WIDTH_PX), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    # Text and outlines over noise: WebP is a third smaller than JPEG at the same legibility, and at its quickest
    # setting hardly slower.
    small.save(buffer, "WEBP", quality=72, method=0)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def render_report(rows: Sequence[SceneRow], card: Card, facts: RunFacts, pictures: Mapping[str, str]) -> str:
    """Return the report as one HTML document.

    Parameters
    ----------
    rows
        Every scene of the run.
    card
        The model that was used.
    facts
        Settings and outcome of the run.
    pictures
        Scene name to data URI (see :func:`embed_picture`) of the scenes to show, in any order.

    Returns
    -------
    str
        HTML without any outside resource. At most 2,000 rows are listed, the best first; the page says so.
    """
    ordered = report_order(rows)
    failed = [row for row in ordered if row.status != "ok"]
    scanned = [row for row in ordered if row.status == "ok"]
    flagged = [row for row in scanned if row.flagged]
    listed = ordered[:_MOST_ROWS]
    return page_template("fringewatch.report").substitute(
        headline=_headline(len(scanned), len(flagged)),
        subtitle=_subtitle(facts),
        cards="".join(
            count_box(number, label, kind)
            for number, label, kind in (
                (len(rows), "files", ""),
                (len(flagged), "flagged", "alert" if flagged else ""),
                (sum(row.detections or 0 for row in scanned), "detections", ""),
                (len(failed), "failed", "warn" if failed else ""),
            )
        ),
        histogram=_histogram([row.score for row in scanned if row.score is not None], facts.threshold),
        failures=_failures(failed),
        gallery=_gallery(ordered, pictures, len(flagged), facts),
        rows="".join(_table_row(row, facts, linked=row.name in pictures) for row in listed),
        truncated=note(f"The first {_MOST_ROWS:,} of {len(rows):,} files; all of them are in summary.csv.")
        if len(rows) > len(listed)
        else "",
        model=_model(card, facts),
        version=html.escape(facts.version),
    )


def _headline(scanned: int, flagged: int) -> str:
    if not scanned:
        return "No scene could be scanned"
    scenes = "scene" if scanned == 1 else "scenes"
    if not flagged:
        return f"No deformation flagged in {scanned:,} {scenes}"
    return f"Deformation flagged in {flagged:,} of {scanned:,} {scenes}"


def _subtitle(facts: RunFacts) -> str:
    parts = [f"finished {facts.finished}", f"{facts.seconds:,.0f} s"]
    if facts.kept:
        parts.append(f"{facts.kept:,} kept from an earlier run, unchanged")
    if facts.interrupted:
        parts.append("<strong>interrupted: not all files were scanned</strong>")
    return " · ".join(parts)


def _histogram(scores: list[float], threshold: float) -> str:
    """Return the scores as a small SVG with the threshold marked; nothing for one or two scenes."""
    if len(scores) < 3:
        return ""
    counts, _ = np.histogram(scores, bins=_BINS, range=(0, 1))
    highest, width, height = counts.max(), 480, 96
    bars = "".join(
        f'<rect x="{index * width / _BINS + 1:.1f}" y="{height - height * count / highest:.1f}" '
        f'width="{width / _BINS - 2:.1f}" height="{height * count / highest:.1f}" '
        f'class="{"hot" if (index + 0.5) / _BINS >= threshold else "cold"}"><title>{count} scenes with scores '
        f"{index / _BINS:.3f} to {(index + 1) / _BINS:.3f}</title></rect>"
        for index, count in enumerate(counts)
        if count
    )
    x = threshold * width
    anchor = "end" if threshold > 0.7 else "start"
    return (
        f'<figure class="histogram"><svg viewBox="-4 -16 {width + 8} {height + 36}" role="img" '
        f'aria-label="Histogram of scene scores">{bars}<line x1="0" y1="{height}" x2="{width}" y2="{height}"/>'
        f'<line class="threshold" x1="{x:.1f}" y1="-6" x2="{x:.1f}" y2="{height}"/>'
        f'<text x="{x + (-5 if anchor == "end" else 5):.1f}" y="2" text-anchor="{anchor}">threshold {threshold:.2f}'
        f'</text><text x="0" y="{height + 14}">0</text><text x="{width / 2}" y="{height + 14}" '
        f'text-anchor="middle">score</text><text x="{width}" y="{height + 14}" text-anchor="end">1</text>'
        "</svg></figure>"
    )


def _failures(failed: Sequence[SceneRow]) -> str:
    if not failed:
        return ""
    items = "".join(
        f"<li><code>{html.escape(row.file)}</code><br>{html.escape(_without_path(row))}</li>"
        for row in failed[:_MOST_FAILURES]
    )
    more = f"<li>and {len(failed) - _MOST_FAILURES:,} more, in summary.csv</li>" if len(failed) > _MOST_FAILURES else ""
    title = f"{len(failed):,} file{'' if len(failed) == 1 else 's'} could not be scanned"
    return f'<section class="failures"><h2>{title}</h2><ul>{items}{more}</ul></section>'


def _without_path(row: SceneRow) -> str:
    return row.message.removeprefix(f"{row.file}: ")


def _gallery(ordered: Sequence[SceneRow], pictures: Mapping[str, str], flagged: int, facts: RunFacts) -> str:
    shown = [row for row in ordered if row.name in pictures]
    if not shown:
        return "" if facts.has_pictures else note("Pictures were switched off (--no-png).")
    hits = "".join(_figure(row, pictures[row.name]) for row in shown if row.flagged)
    calm = [row for row in shown if not row.flagged]
    quiet = "".join(_figure(row, pictures[row.name]) for row in calm)
    if hits and quiet:
        title = f"{len(calm):,} quiet scene{'' if len(calm) == 1 else 's'} with the highest scores"
        quiet = f'<details><summary>{title}</summary><div class="gallery">{quiet}</div></details>'
    elif quiet:
        quiet = f'<div class="gallery">{quiet}</div>'
    gallery = (f'<div class="gallery">{hits}</div>' if hits else "") + quiet
    scanned = sum(row.status == "ok" for row in ordered)
    hidden = scanned - len(shown)
    said = ""
    if hidden > 0:
        which = f"are the {len(shown):,} scenes with the highest scores"
        if len(shown) == 1:
            which = "is the scene with the highest score"
        if flagged > len(shown):
            which += f" of {flagged:,} flagged"
        said = note(f"Shown {which}; every scene has its own .png beside this page.")
    return f'<section id="scenes"><h2>Scenes</h2>{said}{gallery}</section>'


def _figure(row: SceneRow, uri: str) -> str:
    name = html.escape(row.name)
    found = f"{row.detections} detection{'' if row.detections == 1 else 's'}"
    area = f" · {row.area_km2:,.1f} km²" if row.area_km2 else ""
    doubt = f" · <b>{row.doubt}</b>" if row.doubt else ""
    return (
        f'<figure id="{_anchor(row.name)}"><a href="{_link(row.name, ".png")}">'
        f'<img src="{uri}" alt="Phase and probability of {name}" loading="lazy"></a>'
        f"<figcaption><b>{name}</b><span>{found}{area}{doubt}</span></figcaption></figure>"
    )


def _table_row(row: SceneRow, facts: RunFacts, *, linked: bool) -> str:
    state = "failed" if row.status != "ok" else "flagged" if row.flagged else "quiet"
    links = ""
    if row.status == "ok":
        kinds = [(".png", "PNG")] * facts.has_pictures + [(".detections.geojson", "GeoJSON")]
        kinds += [(".probability.tif", "GeoTIFF")] * facts.has_maps
        links = " ".join(f'<a href="{_link(row.name, suffix)}">{label}</a>' for suffix, label in kinds)
    message = html.escape(_without_path(row))
    details = f"<details><summary>notes</summary>{message}</details>" if message else ""
    name = html.escape(row.name)
    if linked:
        name = f'<a href="#{_anchor(row.name)}">{name}</a>'
    cells = (
        f'<td class="name" title="{html.escape(row.file, quote=True)}">{name}</td>',
        f'<td><span class="state {state}">{state}</span></td>',
        score_cell(row.score),
        number_cell(row.max_probability, ".3f"),
        number_cell(row.detections, "d"),
        number_cell(row.area_km2, ",.1f"),
        f"<td>{html.escape(row.reference_date)}</td><td>{html.escape(row.secondary_date)}</td>",
        f"<td>{html.escape(row.product)}</td>",
        f'<td class="links">{links}</td><td class="notes">{details}</td>',
    )
    return f'<tr class="{state}">{"".join(cells)}</tr>'


def _link(name: str, suffix: str) -> str:
    return html.escape(quote(name + suffix), quote=True)


def _anchor(name: str) -> str:
    # Browsers decode the fragment of a link before they look for the id, but not the id.
    return "scene-" + quote(name, safe="").replace("%", "_")


def _model(card: Card, facts: RunFacts) -> str:
    thresholds = card.thresholds
    measured = f", measured on {thresholds.false_alarm_set}" if thresholds.false_alarm_set else ""
    same = abs(facts.threshold - thresholds.scene) < 1e-9
    level = f"{facts.threshold:.3f}" + ("" if same else f" (set for this run; the card's is {thresholds.scene:.3f})")
    pixel = card.encoding.pixel_size_m
    entries = {
        "Model": f"{card.name} {card.version} ({card.architecture}, {card.parameters:,} parameters, {facts.precision})",
        "About": card.description,
        "Flagged from": level,
        "False alarms": f"{thresholds.false_alarm_rate:.1%} of quiet scenes at {thresholds.scene:.3f}{measured}",
        "Detections": f"score from {facts.threshold:.3f}, outlined at a probability of {thresholds.region_edge:.2f}",
        "Pixel size": f"trained on {pixel[0]:g} to {pixel[1]:g} m" if pixel else "",
        "Licence": card.licence,
        "Citation": card.citation,
        "SHA-256": ", ".join(f"{name} {digest[:16]}…" for name, digest in card.sha256.items()),
    }
    return "".join(f"<dt>{key}</dt><dd>{html.escape(value)}</dd>" for key, value in entries.items() if value)
