"""The rules file: what is worth an alert, and where alerts go."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from fringewatch.config import Config
from fringewatch.errors import ConfigError

__all__ = ["Channel", "EmailChannel", "FileChannel", "Rule", "Rules", "WebhookChannel", "read_secret"]

_Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]
_Address = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")]


def _listed(value: Any) -> Any:
    """Take `sites: Etna` for a list of one, and `sites: 211060` for the text of it, as people write it."""
    if isinstance(value, str | int):
        value = (value,)
    if not isinstance(value, list | tuple):
        return value
    # YAML's `no` is a number to Python.
    return tuple(str(word) if isinstance(word, int) and not isinstance(word, bool) else word for word in value)


def _once(words: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what was said before: an alert goes to a channel once, however often the channel is named."""
    return tuple(dict.fromkeys(words))


_Words = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_once)]


class Rule(Config):
    """When a site is worth an alert."""

    name: _Name = Field(description="Name of the rule; alerts are told apart by it, so renaming a rule alerts anew.")
    sites: _Words = Field(
        ("*",),
        min_length=1,
        description="Names or numbers of sites, or patterns with `*` and `?`; case does not matter.",
    )
    kinds: _Words = Field((), description="Kinds of site, such as `volcano`; all if not given.")
    min_score: float | None = Field(
        None, ge=0, le=1, description="Score that a pair reaches; if not given, those that the run flagged count."
    )
    min_area_km2: float = Field(0.0, ge=0, description="Area of the detections that a pair reaches.")
    height_trend: Literal["keep", "remove"] = Field(
        "keep",
        description="What counts of a scene that follows the terrain, as stratified delay does: its own score, or also "
        "the one without its height trend; `remove` needs `min_score`.",
    )
    hits: int = Field(1, ge=1, le=100, description="Number of pairs that must reach score and area (k) ...")
    of_last: int | None = Field(
        None, ge=1, le=1000, description="... among this many pairs in a row (n); as many as `hits` if not given."
    )
    independent: bool = Field(
        False, description="Count only pairs without a common acquisition: one hazy day spoils all pairs made with it."
    )
    quiet_days: int = Field(
        90,
        ge=0,
        description="Days without a hit after which an event is over; until then further hits are the same alert.",
    )
    since: dt.date | None = Field(None, description="Leave out events that ended before this date.")
    channels: _Words = Field((), description="Names of the channels that its alerts go to; all if not given.")

    @property
    def window(self) -> int:
        """Number of pairs in a row among which hits are counted."""
        return self.hits if self.of_last is None else self.of_last

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window < self.hits:
            message = f"of_last = {self.of_last}: {self.hits} hits cannot be among {self.of_last} pairs; raise of_last"
            raise ValueError(message)
        if self.height_trend == "remove" and self.min_score is None:
            message = "height_trend = 'remove': the run flagged scenes by their own scores; give min_score"
            raise ValueError(message)
        return self


class FileChannel(Config):
    """Append alerts to a file, one JSON object a line."""

    type: Literal["file"] = Field("file", description="Kind of channel.")
    path: Path = Field(description="The file, relative to the rules file; `-` is standard output.")


class EmailChannel(Config):
    """Send each alert as an e-mail."""

    type: Literal["email"] = Field("email", description="Kind of channel.")
    host: str = Field(min_length=1, description="The SMTP server.")
    port: int | None = Field(None, ge=1, le=65535, description="Its port; 587, 465 or 25 by `security` if not given.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is protected; `none` only for a relay on the same machine."
    )
    sender: _Address = Field(description="Address that the mail comes from.")
    recipients: Annotated[tuple[_Address, ...], BeforeValidator(_listed)] = Field(
        min_length=1, description="Addresses that it goes to."
    )
    user_env: str | None = Field(None, description="Environment variable with the user's name; no login if not given.")
    password_env: str | None = Field(None, description="Environment variable with the password.")
    timeout_s: float = Field(30, gt=0, description="Seconds to wait for the server.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.user_env is None) != (self.password_env is None):
            message = "user_env and password_env: expected both or none"
            raise ValueError(message)
        if self.user_env is not None and self.security == "none":
            message = "security = 'none': a password would travel in the clear; expected 'starttls' or 'tls'"
            raise ValueError(message)
        return self


class WebhookChannel(Config):
    """Post each alert as JSON to an address."""

    type: Literal["webhook"] = Field("webhook", description="Kind of channel.")
    url: str | None = Field(None, pattern=r"^https?://", description="The address.")
    url_env: str | None = Field(None, description="Environment variable with the address, where that is a secret.")
    secret_env: str | None = Field(
        None, description="Environment variable with the key that posts are signed with (HMAC-SHA256)."
    )
    token_env: str | None = Field(None, description="Environment variable with a bearer token.")
    tries: int = Field(3, ge=1, le=10, description="How often to try in one run; failing that, the next run does.")
    timeout_s: float = Field(15, gt=0, description="Seconds to wait for an answer.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.url is None) == (self.url_env is None):
            message = "url and url_env: expected one of them"
            raise ValueError(message)
        return self


Channel = FileChannel | EmailChannel | WebhookChannel

_CHANNELS: dict[str, type[FileChannel] | type[EmailChannel] | type[WebhookChannel]] = {
    "file": FileChannel,
    "email": EmailChannel,
    "webhook": WebhookChannel,
}


class Rules(Config):
    """Rules and channels, as the rules file has them."""

    rules: tuple[Rule, ...] = Field(min_length=1, description="The rules, each judged by itself.")
    channels: dict[str, Channel] = Field(min_length=1, description="Where alerts go, by name.")

    @classmethod
    def build(cls, values: dict[str, Any], *, where: str = "rules") -> Self:
        """Validate a mapping; a mistake becomes a :class:`~fringewatch.errors.ConfigError` that names the rule."""
        # Part by part: an error of the whole would name a rule by its position.
        parts = dict(values)
        if isinstance(rules := values.get("rules"), list):
            parts["rules"] = [_build_rule(rule, number, where) for number, rule in enumerate(rules, 1)]
        if isinstance(channels := values.get("channels"), dict):
            parts["channels"] = {str(name): _build_channel(part, name, where) for name, part in channels.items()}
        built = super().build(parts, where=where)
        built._check_names(where)
        return built

    def channels_of(self, rule: Rule) -> tuple[str, ...]:
        """Return the names of the channels that a rule's alerts go to."""
        return rule.channels or tuple(self.channels)

    def _check_names(self, where: str) -> None:
        seen = set()
        for rule in self.rules:
            if rule.name in seen:
                message = f"{where}: two rules are named {rule.name!r}; expected each name once"
                raise ConfigError(message)
            seen.add(rule.name)
            for name in rule.channels:
                if name not in self.channels:
                    known = ", ".join(self.channels)
                    message = f"{where}: rule {rule.name!r}: channels names {name!r}; expected one of: {known}"
                    raise ConfigError(message)


def _build_rule(values: Any, number: int, where: str) -> Rule:
    name = values.get("name") if isinstance(values, dict) else None
    place = f"{where}: rule {name!r}" if name else f"{where}: rule {number}"
    return Rule.build(_mapping(values, place), where=place)


def _build_channel(values: Any, name: object, where: str) -> Channel:
    place = f"{where}: channel {str(name)!r}"
    kind = _mapping(values, place).get("type")
    if kind not in _CHANNELS:
        message = f"{place}: type = {kind!r}; expected one of: {', '.join(_CHANNELS)}"
        raise ConfigError(message)
    return _CHANNELS[kind].build(values, where=place)


def _mapping(values: Any, place: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        message = f"{place}: holds a {type(values).__name__}; expected keys and values, such as `name: unrest`"
        raise ConfigError(message)
    return values


def read_secret(variable: str, what: str) -> str:
    """Return the value of an environment variable, without blanks and line ends around it.

    Parameters
    ----------
    variable
        Its name.
    what
        The setting that names it, for the message.

    Raises
    ------
    ConfigError
        If it is not set or empty.
    """
    # A secret that is mounted as a file commonly ends in a newline.
    value = os.environ.get(variable, "").strip()
    if not value:
        message = f"{what}: the environment variable {variable} is not set; set it, or change its name in the rules"
        raise ConfigError(message)
    return value
