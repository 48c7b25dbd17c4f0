"""What the catalogue knows of one site, in the order of time."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from fringewatch.figures import MonthCounts, PairBars

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd

    from fringewatch.alerts import Site
    from fringewatch.alerts.ledger import RecordedAlert

__all__ = ["SiteTimeline"]


@dataclasses.dataclass(frozen=True)
class SiteTimeline:
    """The pairs and alerts of one site.

    Attributes
    ----------
    site
        The site.
    pairs
        At least one row, as :func:`fringewatch.alerts.pairs.read_pairs` gives them.
    alerts
        Recorded alerts, by start.
    threshold
        Score from which scenes are flagged; None where that was not always the same.
    """

    site: Site
    pairs: pd.DataFrame
    alerts: tuple[RecordedAlert, ...]
    threshold: float | None

    @property
    def first(self) -> dt.date:
        """First acquisition of any pair."""
        day: dt.date = self.pairs["first_date"].min().date()
        return day

    @property
    def last(self) -> dt.date:
        """Last acquisition of any pair."""
        day: dt.date = self.pairs["last_date"].max().date()
        return day

    @property
    def flagged(self) -> pd.DataFrame:
        """Flagged pairs, the latest first."""
        return self.pairs[self.pairs["flagged"]].iloc[::-1]

    @property
    def file_name(self) -> str:
        """Name of the site's files without a suffix; unique in the catalogue."""
        words = re.sub(r"[^\w]+", "-", self.site.name).strip("-")[:60] or "site"
        number = re.sub(r"[^A-Za-z0-9]+", "-", self.site.number).strip("-")
        # A mine may have the name and number of a volcano, and names that differ in signs only become alike here.
        return "-".join(part for part in (words, number, str(self.site.site_id)) if part)

    @property
    def bars(self) -> PairBars:
        """The pairs as arrays."""
        return PairBars(
            self.pairs["first_date"].to_numpy("datetime64[D]"),
            self.pairs["last_date"].to_numpy("datetime64[D]"),
            self.pairs["score"].to_numpy(float),
            self.pairs["flagged"].to_numpy(bool),
            self.pairs["level_score"].to_numpy(float),
        )

    @property
    def months(self) -> MonthCounts:
        """Pairs and flagged pairs by the month of their last acquisition, from the first to the last month."""
        month = self.pairs["last_date"].to_numpy("datetime64[M]")
        number = (month - month.min()).astype(int)
        length = int(number.max()) + 1
        flagged = self.pairs["flagged"].to_numpy(bool)
        return MonthCounts(
            (month.min() + np.arange(length)).astype("datetime64[D]"),
            np.bincount(number, minlength=length),
            np.bincount(number[flagged], minlength=length),
        )
