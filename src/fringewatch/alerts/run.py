"""``fringewatch alerts``: judge the catalogue by rules, record what is new, deliver what is pending."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from fringewatch.alerts.deliver import check_channels, check_files, open_sender
from fringewatch.alerts.judge import find_events, matching_sites, suggest_sites
from fringewatch.alerts.ledger import Ledger
from fringewatch.alerts.message import alert_content
from fringewatch.alerts.rules import Rules
from fringewatch.config import Config
from fringewatch.errors import CatalogError, ConfigError, DeliveryError
from fringewatch.progress import say
from fringewatch.sites import NEAR_KM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fringewatch.alerts.judge import Event
    from fringewatch.alerts.ledger import Delivery
    from fringewatch.alerts.rules import Channel

__all__ = ["AlertsConfig", "AlertsResult", "run"]

_MOST_FAILURES = 3
"""In a row: the channel is then left alone until the next run."""


class AlertsConfig(Config):
    """Judge the scenes of a catalogue by rules and tell of what is new, each event once."""

    catalog: str = Field(
        description="Catalogue that `fringewatch detect` fills: a .gpkg file or postgresql://...",
        json_schema_extra={"positional": True},
    )
    rules: Path = Field(Path("rules.yaml"), description="YAML file with the rules and the channels.")
    dry_run: bool = Field(False, description="Only print the alerts that would be sent; nothing is recorded.")
    watch: bool = Field(False, description="Go on and look again from time to time, until stopped.")
    every_s: float = Field(300, gt=0, description="With --watch: seconds between two looks.")


@dataclasses.dataclass(frozen=True)
class AlertsResult:
    """What one look at the catalogue led to.

    Attributes
    ----------
    fresh
        Events that no alert had told of.
    sent
        Number of messages delivered.
    problems
        Why messages were not delivered, by channel; they stay pending.
    orphans
        Number of pending messages to channels that the rules no longer name.
    """

    fresh: tuple[Event, ...]
    sent: int = 0
    problems: dict[str, str] = dataclasses.field(default_factory=dict)
    orphans: int = 0

    @property
    def exit_code(self) -> int:
        """0: all was delivered; 1: nothing could be; 3: some could not."""
        if not self.problems:
            return 0
        return 3 if self.sent else 1


def run(config: AlertsConfig) -> AlertsResult:
    """Judge a catalogue and deliver what is new or still pending.

    Raises
    ------
    ConfigError
        If the rules are wrong, an environment variable that a channel names is not set, the file of a channel is the
        rules file or the catalogue, or a dry run is to watch.
    CatalogError
        If the catalogue cannot be used, or another run is at work on it.
    """
    if config.dry_run and config.watch:
        message = "--dry-run --watch: a dry run is one look; leave out one of them"
        raise ConfigError(message)
    rules = Rules.from_yaml(config.rules)
    others = {"the rules file": config.rules, "the catalogue": Path(config.catalog)}
    check_files(rules.channels, config.rules.parent, others)
    if config.dry_run:
        return _show(config, rules)
    check_channels(rules.channels)
    first = True
    while True:
        try:
            with Ledger(config.catalog) as ledger, ledger.alone():
                if first:
                    _tell_unseen(ledger, rules)
                result = _look(ledger, rules, config.rules.parent)
        except CatalogError as error:
            if not config.watch:
                raise
            # A server that is being restarted must not end the watch.
            say(str(error))
        else:
            _tell(result)
            if not config.watch:
                return result
            first = False
        time.sleep(config.every_s)


def _show(config: AlertsConfig, rules: Rules) -> AlertsResult:
    with Ledger(config.catalog, writable=False) as ledger:
        _tell_unseen(ledger, rules)
        fresh = ledger.fresh(_judge(ledger, rules), rules)
        waiting = len(ledger.pending())
    by_name = {rule.name: rule for rule in rules.rules}
    for event in fresh:
        rule = by_name[event.rule]
        sys.stdout.write(f"{alert_content(event, rule)['text']} -> {', '.join(rules.channels_of(rule))}\n")
    pending = f"; {waiting} messages of earlier runs are pending" if waiting else ""
    say(f"dry run: {_count(len(fresh), 'new alert')}, nothing was recorded or sent{pending}")
    return AlertsResult(tuple(fresh))


def _look(ledger: Ledger, rules: Rules, folder: Path) -> AlertsResult:
    fresh = ledger.record(_judge(ledger, rules), rules)
    queues: dict[str, list[Delivery]] = {}
    for delivery in ledger.pending():
        queues.setdefault(delivery.channel, []).append(delivery)
    sent, problems = 0, {}
    for name, channel in rules.channels.items():
        if name in queues:
            done, problem = _deliver(ledger, channel, name, queues[name], folder)
            sent += done
            if problem:
                problems[name] = problem
    orphans = sum(len(queue) for name, queue in queues.items() if name not in rules.channels)
    return AlertsResult(tuple(fresh), sent, problems, orphans)


def _judge(ledger: Ledger, rules: Rules) -> list[Event]:
    sites, pairs = ledger.sites(), ledger.pairs()
    return [event for rule in rules.rules for event in find_events(rule, sites, pairs)]


def _deliver(ledger: Ledger, channel: Channel, name: str, queue: Sequence[Delivery], folder: Path) -> tuple[int, str]:
    """Send what waits for a channel; return the number sent and the last problem."""
    sent, problem, in_a_row = 0, "", 0
    try:
        sender = open_sender(channel, name, folder)
    except DeliveryError as error:
        for delivery in queue:
            ledger.mark(delivery, str(error))
        return 0, str(error)
    with contextlib.closing(sender):
        for delivery in queue:
            try:
                sender.send(delivery.content)
            except DeliveryError as error:
                problem = str(error)
                ledger.mark(delivery, problem)
                in_a_row += 1
                if in_a_row == _MOST_FAILURES:
                    break
            else:
                ledger.mark(delivery)
                sent, in_a_row = sent + 1, 0
    return sent, problem


def _tell_unseen(ledger: Ledger, rules: Rules) -> None:
    """Say which scenes no rule sees, and which sites of the rules the catalogue does not have."""
    sites = ledger.sites()
    for rule in rules.rules:
        for pattern in rule.sites:
            if not matching_sites(sites, [pattern]):
                hint = suggest_sites(sites, pattern)
                say(f"rule {rule.name!r}: sites: the catalogue has no site {pattern!r}; {hint}")
    kinds = sorted({site.kind for site in sites})
    for rule in rules.rules:
        for kind in rule.kinds:
            if kind not in kinds:
                say(f"rule {rule.name!r}: kinds: no site is of kind {kind!r}; there are: {', '.join(kinds) or 'none'}")
    strict = [repr(rule.name) for rule in rules.rules if rule.height_trend == "remove"]
    if strict and (unasked := ledger.count_unasked()):
        say(
            f"rule {', '.join(strict)}: height_trend: {_count(unasked, 'flagged scene')} scanned without asking for "
            "height trends (--height-trend keep, or an earlier version) count by their own scores; scan them again"
        )
    unplaced = ledger.count_unplaced()
    if unplaced:
        say(f"{_count(unplaced, 'scene')} without dates or coordinates: no rule sees them")
    remote = ledger.count_remote()
    if remote:
        say(
            f"{_count(remote, 'scene')} without a site within {NEAR_KM:g} km: no rule sees them; "
            "`fringewatch detect` with --sites FILE adds sites to the catalogue"
        )


def _tell(result: AlertsResult) -> None:
    if result.fresh or result.sent:
        say(f"{_count(len(result.fresh), 'new alert')}, {_count(result.sent, 'message')} sent")
    for problem in result.problems.values():
        say(f"not delivered, the next run tries again: {problem}")
    if result.orphans:
        say(f"{_count(result.orphans, 'message')} for channels that the rules no longer name: name them again to send")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
