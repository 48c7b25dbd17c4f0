"""What file names tell: dates, and which files only accompany an interferogram."""

from __future__ import annotations

import datetime as dt
import re

__all__ = ["COMPANION", "dates"]

COMPANION = re.compile(
    r"""(?:^|[._-])(?:
        cc|coh|coherence|cor|corr|conncomp|connected_components|amp|mag|mli|
        dem|hgt|height|elevation|slope|
        los_(?:east|north|up)|lv_theta|lv_phi|inc|inc_map|inc_map_ell|incidence|azimuth|heading|lat|lon|
        mask|water_mask|watermask|landmask|valid|truth|label|labels|
        los_disp|vert_disp|displacement|velocity|vel|
        probability
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
"""Matches the end of a file's stem where the file goes with an interferogram and is none itself."""

_DATES = re.compile(r"(?<!\d)((?:19|20)\d{6})(?:T\d{6}Z?)?[_-]((?:19|20)\d{6})(?!\d)")
_SHORT_DATES = re.compile(r"(?<!\d)(\d{6})[_-](\d{6})(?!\d)")


def dates(text: str, *, short: bool = False) -> tuple[str, str]:
    """Return the ISO dates of a pair ``YYYYMMDD_YYYYMMDD``, the last one in a text; ``("", "")`` without one.

    With `short`, a pair ``YYMMDD-YYMMDD`` will do where there is no long one; years from 69 on are of the last century.
    """
    for pattern, form in ((_DATES, "%Y%m%d"), (_SHORT_DATES, "%y%m%d"))[: 1 + short]:
        for match in reversed(list(pattern.finditer(text))):
            try:
                first, second = (_date(text, form) for text in match.groups())
            except ValueError:
                continue
            return first.isoformat(), second.isoformat()
    return "", ""


def _date(text: str, form: str) -> dt.date:
    # Asked for every scene of an archive; `strptime` takes ten times as long.
    return dt.date.fromisoformat(text) if form == "%Y%m%d" else dt.datetime.strptime(text, form).date()
