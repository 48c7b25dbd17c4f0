"""Alerts on their way: a file of JSON lines, e-mail, webhook.

Whatever keeps an alert from being delivered becomes a :class:`~fringewatch.errors.DeliveryError`; who sends decides
when to try again.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import json
import os
import smtplib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

from fringewatch._version import __version__
from fringewatch.alerts.message import compose_email
from fringewatch.alerts.rules import Channel, EmailChannel, FileChannel, WebhookChannel, read_secret
from fringewatch.errors import ConfigError, DeliveryError
from fringewatch.progress import say

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Sender", "check_channels", "check_files", "open_sender"]

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_BEGINNING = b'{"key":'
"""Of every line in a file of alerts."""
_PAUSE_S = 1.0
"""Before the second try of a post; each further pause is twice as long."""


class Sender(Protocol):
    """A channel that is ready to send."""

    def send(self, content: dict[str, Any]) -> None:
        """Deliver an alert; see :func:`fringewatch.alerts.message.alert_content`.

        Raises
        ------
        DeliveryError
            If it has not been delivered, with the reason.
        """

    def close(self) -> None:
        """Let go of the file or connection."""


def open_sender(channel: Channel, name: str, folder: Path) -> Sender:
    """Make a channel ready to send.

    Parameters
    ----------
    channel
        Its settings.
    name
        What the rules file calls it, for messages.
    folder
        Where relative paths start.

    Raises
    ------
    ConfigError
        If an environment variable that it needs is not set, or holds what cannot be used.
    DeliveryError
        If the server cannot be reached, refuses the login, or the file cannot be opened.
    """
    if isinstance(channel, EmailChannel):
        return _EmailSender(channel, name)
    if isinstance(channel, WebhookChannel):
        return _WebhookSender(channel, name)
    return _StandardOutput() if str(channel.path) == "-" else _FileSender(folder / channel.path)


def check_channels(channels: Mapping[str, Channel]) -> None:
    """See that the addresses and secrets of channels can be used, before anything is recorded or sent.

    Raises
    ------
    ConfigError
        As :func:`open_sender`.
    """
    for name, channel in channels.items():
        if isinstance(channel, WebhookChannel):
            # Posts one by one: there is no connection to be made yet.
            _WebhookSender(channel, name).close()
        for key, variable in channel:
            if key.endswith("_env") and variable is not None:
                read_secret(variable, f"channel {name!r}: {key}")


def check_files(channels: Mapping[str, Channel], folder: Path, others: Mapping[str, Path]) -> None:
    """See that no channel appends alerts to a file that is something else.

    Parameters
    ----------
    channels
        By name.
    folder
        Where relative paths start.
    others
        Such files, by what they are.

    Raises
    ------
    ConfigError
        If one does.
    """
    for name, channel in channels.items():
        if not isinstance(channel, FileChannel):
            continue
        path = folder / channel.path
        for what, other in others.items():
            if path.exists() and other.exists() and path.samefile(other):
                message = f"channel {name!r}: path = {channel.path}: is {what}; name a file of its own for the alerts"
                raise ConfigError(message)


class _StandardOutput:
    def send(self, content: dict[str, Any]) -> None:
        sys.stdout.write(_line(content))
        sys.stdout.flush()

    def close(self) -> None:
        pass


class _FileSender:
    """Appends lines; a line that is in the file already is not written again.

    A run may be killed after it wrote a line and before it noted that; the next run finds the line by its key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("a+b", buffering=0)
            self._keys = self._mend_and_read()
        except OSError as error:
            raise self._explain(error) from error

    def send(self, content: dict[str, Any]) -> None:
        if content["key"] in self._keys:
            return
        end = self._file.seek(0, os.SEEK_END)
        try:
            rest = _line(content).encode()
            # A disk that is about to be full takes a part, and the error comes with the next.
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise self._explain(error) from error
        self._keys.add(content["key"])

    def close(self) -> None:
        self._file.close()

    def _mend_and_read(self) -> set[str]:
        """Cut off a last line that a killed run did not finish, and return the keys of the others.

        Whatever else stands in the file is somebody's and stays.
        """
        whole, keys = 0, set()
        # Through a second handle: a buffered one would close the file with itself.
        with self._path.open("rb") as lines:
            for line in lines:
                key = None
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    key = str(json.loads(line)["key"])
                if not line.endswith(b"\n"):
                    # Only the line's end may be missing: a whole alert has been told.
                    if key is None and line.startswith(_BEGINNING):
                        self._file.truncate(whole)
                    else:
                        self._file.write(b"\n")
                whole += len(line)
                if key is not None:
                    keys.add(key)
        return keys

    def _explain(self, error: OSError) -> DeliveryError:
        reason = error.strerror or str(error)
        return DeliveryError(f"{self._path}: cannot be written ({reason}); free some space or change the permissions")


class _EmailSender:
    def __init__(self, channel: EmailChannel, name: str) -> None:
        self._channel = channel
        port = channel.port or _PORTS[channel.security]
        self._where = f"channel {name!r}: {channel.host}:{port}"
        user = password = ""
        if channel.user_env and channel.password_env:
            user = read_secret(channel.user_env, f"channel {name!r}: user_env")
            password = read_secret(channel.password_env, f"channel {name!r}: password_env")
        try:
            if channel.security == "tls":
                context = ssl.create_default_context()
                self._server: smtplib.SMTP = smtplib.SMTP_SSL(
                    channel.host, port, timeout=channel.timeout_s, context=context
                )
            else:
                self._server = smtplib.SMTP(channel.host, port, timeout=channel.timeout_s)
            try:
                if channel.security == "starttls":
                    self._server.starttls(context=ssl.create_default_context())
                if user:
                    self._server.login(user, password)
            except BaseException:
                self._server.close()
                raise
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise self._explain(error) from error

    def send(self, content: dict[str, Any]) -> None:
        message = compose_email(content, self._channel)
        try:
            refused = self._server.send_message(message)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise self._explain(error) from error
        if refused:
            # The others have theirs: it counts as sent, and a second copy would help nobody.
            say(f"{self._where}: refused {', '.join(refused)}")

    def close(self) -> None:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            self._server.quit()

    def _explain(self, error: Exception) -> DeliveryError:
        return DeliveryError(f"{self._where}: {_reason(error)}")


class _WebhookSender:
    def __init__(self, channel: WebhookChannel, name: str) -> None:
        self._channel = channel
        self._where = f"channel {name!r}"
        self._url = channel.url or read_secret(channel.url_env or "", f"channel {name!r}: url_env")
        self._host = _host(self._url)
        if not self._host:
            message = (
                f"channel {name!r}: {channel.url_env or 'url'} holds no address; expected https://host/path, "
                "without blanks and user"
            )
            raise ConfigError(message)
        self._key = read_secret(channel.secret_env, f"channel {name!r}: secret_env") if channel.secret_env else ""
        self._token = read_secret(channel.token_env, f"channel {name!r}: token_env") if channel.token_env else ""
        if not _is_plain(self._token):
            message = f"channel {name!r}: {channel.token_env} holds no token; expected ASCII characters on one line"
            raise ConfigError(message)
        self._opener = urllib.request.build_opener(_NoRedirect)

    def send(self, content: dict[str, Any]) -> None:
        for left in reversed(range(self._channel.tries)):
            try:
                with self._opener.open(self._request(content), timeout=self._channel.timeout_s):
                    return
            except urllib.error.HTTPError as error:
                with error:
                    problem = f"answered {error.code} {error.reason}"
                if error.code not in _TRY_AGAIN or not left:
                    raise self._explain(problem) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                if not left:
                    raise self._explain(_reason(error)) from error
            time.sleep(_PAUSE_S * 2 ** (self._channel.tries - 1 - left))

    def close(self) -> None:
        pass

    def _request(self, content: dict[str, Any]) -> urllib.request.Request:
        body = json.dumps(content, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"fringewatch/{__version__}",
            "Idempotency-Key": content["key"],
        }
        if self._key:
            digest = hmac.new(self._key.encode(), body, hashlib.sha256).hexdigest()
            headers["X-Fringewatch-Signature"] = f"sha256={digest}"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return urllib.request.Request(self._url, body, headers, method="POST")

    def _explain(self, problem: str) -> DeliveryError:
        # The path of an address is often the secret itself.
        return DeliveryError(f"{self._where}: {self._host} {problem}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirection an error: following it would turn the post into a request without a body."""

    def redirect_request(self, *_: object) -> None:
        return None


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"


def _host(url: str) -> str:
    """Return host and port of an address; nothing if no post can be sent there."""
    try:
        parts = urllib.parse.urlsplit(url)
        # Asked for because it is only then that a wrong port is an error.
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return ""
    usable = usable and parts.scheme in {"http", "https"} and _is_plain(url) and " " not in url
    return parts.netloc if usable and "@" not in parts.netloc else ""


def _is_plain(text: str) -> bool:
    """Tell whether a text can stand in the head of a request as it is."""
    return text.isascii() and text.isprintable()


def _reason(error: Exception) -> str:
    if isinstance(error, (OSError, smtplib.SMTPException)):
        return _one_line(error.reason if isinstance(error, urllib.error.URLError) else error)
    # The texts of the others quote what was wrong, and that may be a secret.
    return f"no message could be exchanged ({type(error).__name__})"


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or type(error).__name__
