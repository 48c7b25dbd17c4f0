"""``fringewatch timeline``: what the catalogue knows of sites, as pages and pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from fringewatch.alerts.judge import matching_sites, suggest_sites
from fringewatch.alerts.ledger import Ledger
from fringewatch.catalog.engine import without_password
from fringewatch.config import Config
from fringewatch.errors import ConfigError
from fringewatch.figures import plot_timeline
from fringewatch.files import ensure_folder, write_text
from fringewatch.progress import track
from fringewatch.timeline.page import describe_site, render_index, render_site
from fringewatch.timeline.site import SiteTimeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.alerts import Site

__all__ = ["TimelineConfig", "TimelineResult", "run"]


class TimelineConfig(Config):
    """Draw scores, counts and alerts of sites against time: a page and a picture for each, and a page of all."""

    catalog: str = Field(
        description="Catalogue that `fringewatch detect` fills: a .gpkg file or postgresql://...",
        json_schema_extra={"positional": True},
    )
    site: tuple[str, ...] = Field(
        (), description="Names or numbers of sites, or patterns with `*` and `?`; all that have pairs if not given."
    )
    out: Path = Field(Path("timelines"), description="Folder for the pages; made if missing.")
    png: bool = Field(True, description="Draw a picture of every site too.")


@dataclasses.dataclass(frozen=True)
class TimelineResult:
    """What ``fringewatch timeline`` wrote.

    Attributes
    ----------
    out
        The folder; its ``index.html`` leads to all pages.
    names
        Names of the files of each site, without suffix.
    """

    out: Path
    names: tuple[str, ...]

    def describe(self) -> str:
        """Return the outcome in a line."""
        sites = f"{len(self.names)} site{'' if len(self.names) == 1 else 's'}"
        return f"{sites}: {self.out / 'index.html'}"


def run(config: TimelineConfig) -> TimelineResult:
    """Write the pages and pictures.

    Raises
    ------
    ConfigError
        If no site fits, or none has dated pairs.
    CatalogError
        If the catalogue cannot be read.
    OutputError
        If the folder cannot be written.
    """
    with Ledger(config.catalog, writable=False) as ledger:
        sites = _choose(ledger.sites(), config.site)
        pairs = ledger.pairs([site.site_id for site in sites] if config.site else None)
        alerts, threshold = ledger.alerts(), ledger.threshold()
    groups = dict(iter(pairs.groupby("site_id")))
    timelines = [
        SiteTimeline(
            site, groups[site.site_id], tuple(alert for alert in alerts if alert.site_id == site.site_id), threshold
        )
        for site in sites
        if site.site_id in groups
    ]
    if not timelines:
        place = without_password(config.catalog)
        message = f"{place}: no dated scenes near {', '.join(config.site) or 'any site'}; scan some first"
        raise ConfigError(message)
    folder = ensure_folder(config.out)
    with track("drawing", total=len(timelines)) as advance:
        for timeline in timelines:
            if config.png:
                _draw(folder / f"{timeline.file_name}.png", timeline)
            write_text(folder / f"{timeline.file_name}.html", render_site(timeline, picture=config.png))
            advance(1)
    write_text(folder / "index.html", render_index(timelines))
    return TimelineResult(folder, tuple(timeline.file_name for timeline in timelines))


def _choose(sites: Sequence[Site], patterns: Sequence[str]) -> list[Site]:
    chosen = {}
    for pattern in patterns or ("*",):
        found = matching_sites(sites, [pattern])
        if not found and patterns:
            message = f"--site {pattern!r}: the catalogue has no such site; {suggest_sites(sites, pattern)}"
            raise ConfigError(message)
        chosen.update({site.site_id: site for site in found})
    return list(chosen.values())


def _draw(path: Path, timeline: SiteTimeline) -> None:
    unknown = int(timeline.pairs["score"].isna().sum())
    plot_timeline(
        path,
        timeline.bars,
        timeline.months,
        title=timeline.site.name,
        subtitle=describe_site(timeline) + (f" · {unknown:,} not drawn" if unknown else ""),
        threshold=timeline.threshold,
        alerts=[(np.datetime64(alert.start), np.datetime64(alert.end)) for alert in timeline.alerts],
    )
