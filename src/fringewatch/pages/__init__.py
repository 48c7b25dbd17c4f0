"""Pages of HTML that stand alone: what their looks and their tables have in common.

A package that makes a page has a template ``page.html`` (:class:`string.Template`). It names ``$style`` inside its
``<style>`` and, where it has a listing to sort and filter, ``$script`` inside its ``<script>``.
"""

from __future__ import annotations

import html
from functools import cache
from importlib.resources import files
from string import Template

__all__ = ["count_box", "note", "number_cell", "page_template", "score_cell"]

_COMMON = {"style": "style.css", "script": "table.js"}


@cache
def page_template(package: str, name: str = "page.html") -> Template:
    """Return a template of a package, with the common style and script in it."""
    text = (files(package) / name).read_text(encoding="utf-8")
    common = {key: (files(__name__) / file).read_text(encoding="utf-8") for key, file in _COMMON.items()}
    return Template(Template(text).safe_substitute(common))


def count_box(number: int | str, label: str, kind: str = "") -> str:
    """Return a box with a number over a word; kinds are ``alert``, ``warn`` and none."""
    shown = f"{number:,}" if isinstance(number, int) else number
    return f'<div class="count {kind}"><b>{shown}</b><span>{label}</span></div>'


def note(text: str) -> str:
    """Return a paragraph of plain text in small, soft letters."""
    return f'<p class="note">{html.escape(text)}</p>'


def number_cell(value: float | None, form: str) -> str:
    """Return a table cell that sorts as a number; an empty one, which sorts as -1, for None."""
    return '<td class="n" data-v="-1"></td>' if value is None else f'<td class="n" data-v="{value}">{value:{form}}</td>'


def score_cell(score: float | None) -> str:
    """Return a table cell with a score in figures and as a bar."""
    if score is None:
        return '<td class="score" data-v="-1"><span></span><em></em></td>'
    bar = f'<i style="width:{100 * score:.1f}%"></i>'
    return f'<td class="score" data-v="{score}"><span>{score:.3f}</span><em>{bar}</em></td>'
