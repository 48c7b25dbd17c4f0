"""What an alert says: the same content as JSON, as one sentence and as an e-mail."""

from __future__ import annotations

import hashlib
import json
import math
from email.message import EmailMessage
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from fringewatch._version import __version__

if TYPE_CHECKING:
    import datetime as dt

    from fringewatch.alerts.judge import Event, Pair
    from fringewatch.alerts.rules import EmailChannel, Rule

__all__ = ["alert_content", "alert_key", "compose_email"]

_MOST_PAIRS = 20


def alert_key(event: Event) -> str:
    """Return the name of an alert: the same rule, site and pair give the same one in every run and on every machine."""
    named = [event.rule, event.site.kind, event.site.name, event.site.number, *_dates(event.due)]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]


def alert_content(event: Event, rule: Rule) -> dict[str, Any]:
    """Return an alert as it is stored, posted and written: plain values, dates as ISO 8601 text.

    ``text`` is the whole in one sentence, under the name that chat services read. At most the best 20 pairs are listed.
    """
    best = max(event.hits, key=lambda pair: pair.score)
    area_km2 = max((pair.area_km2 for pair in event.hits if not math.isnan(pair.area_km2)), default=None)
    listed = sorted(sorted(event.hits, key=lambda pair: -pair.score)[:_MOST_PAIRS], key=_order)
    return {
        "key": alert_key(event),
        "text": _sentence(event, rule, best, area_km2),
        "rule": event.rule,
        "site": event.site.name,
        "site_number": event.site.number,
        "kind": event.site.kind,
        "start": event.start.isoformat(),
        "end": event.end.isoformat(),
        "newest": event.newest.isoformat(),
        "hits": len(event.hits),
        "score": round(best.score, 4),
        "area_km2": None if area_km2 is None else round(area_km2, 3),
        "pairs": [_pair_content(pair) for pair in listed],
    }


def compose_email(content: dict[str, Any], channel: EmailChannel) -> EmailMessage:
    """Return the e-mail of an alert, plain text.

    Its Message-ID is made of the alert's key, so mail systems drop a second copy where they drop any.
    """
    message = EmailMessage()
    # Header lines end at a line break, which a name from somebody's table may hold.
    message["Subject"] = " ".join(f"[fringewatch] {content['site']}: {content['rule']}".split())
    message["From"] = channel.sender
    message["To"] = ", ".join(channel.recipients)
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{content['key']}@{channel.sender.rpartition('@')[2]}>"
    message["X-Fringewatch-Alert"] = content["key"]
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_body(content))
    return message


def _sentence(event: Event, rule: Rule, best: Pair, area_km2: float | None) -> str:
    count = len(event.hits)
    hits = f"{count} pair{'' if count == 1 else 's'}"
    area = "" if not area_km2 else f", up to {area_km2:,.1f} km²"
    text = f"{event.site.name}: {hits} from {event.start} to {event.end} show deformation"
    late = (event.newest - event.end).days
    old = f"; the site's newest pair ends {late} days later" if late > rule.quiet_days else ""
    level = _doubt(best.level_score)
    return f"{text}, best score {best.score:.3f}{level}{area} (rule {event.rule!r}){old}"


def _body(content: dict[str, Any]) -> str:
    lines = [content["text"] + ".", "", "reference   secondary   score   area (km²)  scene"]
    lines += [
        f"{pair['reference_date']}  {pair['secondary_date']}  {pair['score']:.3f}  {_area(pair['area_km2']):>10}  "
        f"{pair['name']}{_doubt(pair.get('level_score'))}"
        for pair in content["pairs"]
    ]
    if content["hits"] > len(content["pairs"]):
        lines.append(f"... the best {len(content['pairs'])} of {content['hits']} pairs")
    lines += [
        "",
        "Files:",
        *(f"  {pair['file']}" for pair in content["pairs"]),
        "",
        "The score is a calibrated probability that a scene shows ground deformation; look before you act.",
        f"Alert {content['key']}, fringewatch {__version__}",
    ]
    return "\n".join(lines) + "\n"


def _doubt(level_score: float | None) -> str:
    # Alerts that an earlier version recorded do not say it.
    return "" if level_score is None else f" ({level_score:.3f} without its height trend)"


def _area(area_km2: float | None) -> str:
    return "-" if area_km2 is None else f"{area_km2:,.1f}"


def _pair_content(pair: Pair) -> dict[str, Any]:
    reference, secondary = _dates(pair)
    return {
        "reference_date": reference,
        "secondary_date": secondary,
        "score": round(pair.score, 4),
        "level_score": None if pair.level_score is None else round(pair.level_score, 4),
        "area_km2": None if math.isnan(pair.area_km2) else round(pair.area_km2, 3),
        "name": pair.name,
        "file": pair.file,
    }


def _dates(pair: Pair) -> tuple[str, str]:
    return pair.reference_date.isoformat(), pair.secondary_date.isoformat()


def _order(pair: Pair) -> tuple[dt.date, dt.date]:
    return pair.last, pair.first
