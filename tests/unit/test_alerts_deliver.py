"""Alerts on their way, to a real mail server, a real web server and real files."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import threading

import pytest

from fringewatch.alerts import deliver
from fringewatch.alerts.deliver import open_sender
from fringewatch.alerts.rules import EmailChannel, FileChannel, WebhookChannel
from fringewatch.errors import ConfigError, DeliveryError

PAIR = {"reference_date": "2024-01-01", "secondary_date": "2024-01-13", "score": 0.93, "area_km2": 4.25}
CONTENT = {
    "key": "0123456789abcdef0123456789abcdef",
    "text": "Ätna: 1 pair from 2024-01-01 to 2024-01-13 shows deformation",
    "rule": "unrest",
    "site": "Ätna\nBcc: evil@example.org",
    "hits": 3,
    "pairs": [
        PAIR | {"name": "a", "file": "/data/a.tif"},
        PAIR | {"name": "b", "file": "/data/b.tif", "area_km2": None},
    ],
}


def other(number):
    return CONTENT | {"key": f"{number:032x}"}


# Files


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def send_to_file(path, *contents):
    sender = open_sender(FileChannel(path=path.name), "log", path.parent)
    for content in contents:
        sender.send(content)
    sender.close()


def test_a_line_is_written_once(tmp_path):
    path = tmp_path / "alerts.jsonl"
    send_to_file(path, CONTENT, other(1))
    send_to_file(path, other(1), CONTENT, other(2), other(2))
    assert lines(path) == [CONTENT, other(1), other(2)]


def test_a_line_that_was_torn_is_written_whole(tmp_path):
    path = tmp_path / "alerts.jsonl"
    send_to_file(path, CONTENT, other(1))
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 40):
        path.write_bytes(whole[:cut])
        send_to_file(path, CONTENT, other(1))
        assert path.read_bytes() == whole


def test_a_line_that_lacks_only_its_end_has_been_told(tmp_path):
    path = tmp_path / "alerts.jsonl"
    send_to_file(path, CONTENT, other(1))
    path.write_bytes(path.read_bytes()[:-1])
    # The run that comes sends something else; what stood there stays.
    send_to_file(path, other(2))
    assert lines(path) == [CONTENT, other(1), other(2)]


def test_foreign_lines_stay(tmp_path):
    path = tmp_path / "alerts.jsonl"
    path.write_text('# notes\n[1]\n{"site": "x"}\n')
    send_to_file(path, CONTENT)
    assert path.read_text().startswith('# notes\n[1]\n{"site": "x"}\n{"key"')


@pytest.mark.parametrize("text", ["# notes\nthe last line", '{"site":"x"', "[1, 2]", '{"a": 1,\n"key": 2}'])
def test_a_foreign_last_line_without_an_end_stays(tmp_path, text):
    path = tmp_path / "alerts.jsonl"
    path.write_text(text)
    send_to_file(path, CONTENT)
    assert path.read_text().startswith(f'{text}\n{{"key"')
    send_to_file(path, CONTENT, other(1))
    assert path.read_text().count("\n") == text.count("\n") + 3


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(DeliveryError, match=r"no/alerts\.jsonl: cannot be written .*; free some space"):
        open_sender(FileChannel(path="no/alerts.jsonl"), "log", tmp_path)


def test_a_disk_that_is_full_halfway_through_a_line(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "alerts.jsonl"
    send_to_file(path, CONTENT)
    whole = path.read_bytes()
    sender = open_sender(FileChannel(path=path.name), "log", tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
    try:
        with pytest.raises(DeliveryError, match="cannot be written"):
            sender.send(other(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == whole
    sender.send(other(1))
    sender.close()
    assert lines(path) == [CONTENT, other(1)]


def test_standard_output(tmp_path, capsys):
    open_sender(FileChannel(path="-"), "log", tmp_path).send(CONTENT)
    assert json.loads(capsys.readouterr().out) == CONTENT


# Webhooks


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers with the codes that the server was given, then with 204; keeps what was posted."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, dict(self.headers), body))
        code = self.server.codes.pop(0) if self.server.codes else 204
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def do_GET(self):
        self.server.posts.append(("GET", {}, b""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook(monkeypatch):
    """A web server; `codes` are its next answers, `posts` what came."""
    monkeypatch.setattr(deliver, "_PAUSE_S", 0.001)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.posts, server.codes = [], []
        server.url = f"http://127.0.0.1:{server.server_port}/secret-path"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_post_is_signed_json_with_its_key(hook, monkeypatch, tmp_path):
    monkeypatch.setenv("A_KEY", "swordfish")
    monkeypatch.setenv("A_TOKEN", "t0ken")
    monkeypatch.setenv("A_URL", hook.url)
    channel = WebhookChannel(url_env="A_URL", secret_env="A_KEY", token_env="A_TOKEN")
    open_sender(channel, "hook", tmp_path).send(CONTENT)
    ((path, headers, body),) = hook.posts
    assert path == "/secret-path"
    assert json.loads(body) == CONTENT
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == CONTENT["key"]
    assert headers["Authorization"] == "Bearer t0ken"
    expected = hmac.new(b"swordfish", body, hashlib.sha256).hexdigest()
    assert headers["X-Fringewatch-Signature"] == f"sha256={expected}"


def test_nothing_is_signed_without_a_key(hook, tmp_path):
    open_sender(WebhookChannel(url=hook.url), "hook", tmp_path).send(CONTENT)
    assert not {"Authorization", "X-Fringewatch-Signature"} & set(hook.posts[0][1])


@pytest.mark.parametrize("codes", [[503], [429, 500]])
def test_a_server_in_trouble_is_tried_again(hook, tmp_path, codes):
    hook.codes = codes[:]
    open_sender(WebhookChannel(url=hook.url), "hook", tmp_path).send(CONTENT)
    assert len(hook.posts) == len(codes) + 1
    assert len({headers["Idempotency-Key"] for _, headers, _ in hook.posts}) == 1


@pytest.mark.parametrize(
    ("codes", "posts"), [([503] * 9, 3), ([400], 1), ([404], 1), ([302], 1), ([503, 401], 2)], ids=str
)
def test_a_server_that_refuses(hook, tmp_path, codes, posts):
    """A redirection is a refusal: following it would lose the alert. The address may be a secret and is not told."""
    hook.codes = codes[:]
    sender = open_sender(WebhookChannel(url=hook.url), "hook", tmp_path)
    with pytest.raises(DeliveryError, match=rf"channel 'hook': 127\.0\.0\.1:\d+ answered {codes[posts - 1]} ") as told:
        sender.send(CONTENT)
    assert "secret-path" not in str(told.value)
    assert [path for path, *_ in hook.posts] == ["/secret-path"] * posts


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(deliver, "_PAUSE_S", 0.001)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        sender = open_sender(WebhookChannel(url=url, tries=2), "hook", tmp_path)
        with pytest.raises(DeliveryError, match=r"channel 'hook': .*refused"):
            sender.send(CONTENT)


def test_a_server_that_does_not_answer(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        sender = open_sender(WebhookChannel(url=url, tries=1, timeout_s=0.05), "hook", tmp_path)
        with pytest.raises(DeliveryError, match="timed out"):
            sender.send(CONTENT)


def test_a_newline_after_a_token(hook, tmp_path, monkeypatch):
    monkeypatch.setenv("A_TOKEN", "s3cret-token\n")
    open_sender(WebhookChannel(url=hook.url, token_env="A_TOKEN"), "hook", tmp_path).send(CONTENT)
    assert hook.posts[0][1]["Authorization"] == "Bearer s3cret-token"


@pytest.mark.parametrize("token", ["sword\nfish", "swordfish\N{EURO SIGN}"])
def test_a_token_that_cannot_be_sent(tmp_path, monkeypatch, token):
    monkeypatch.setenv("A_TOKEN", token)
    with pytest.raises(ConfigError, match="channel 'hook': A_TOKEN holds no token") as told:
        open_sender(WebhookChannel(url="http://localhost:1", token_env="A_TOKEN"), "hook", tmp_path)
    assert "fish" not in str(told.value)


@pytest.mark.parametrize("error", [ValueError, http.client.InvalidURL, http.client.BadStatusLine])
def test_errors_that_quote_a_secret_are_only_named(tmp_path, monkeypatch, error):
    sender = open_sender(WebhookChannel(url="http://localhost:1/swordfish", tries=1), "hook", tmp_path)

    def fail(*_, **__):
        raise error("swordfish")

    monkeypatch.setattr(sender._opener, "open", fail)
    with pytest.raises(DeliveryError, match=rf"channel 'hook': localhost:1 .*\({error.__name__}\)") as told:
        sender.send(CONTENT)
    assert "swordfish" not in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "swordfish",
        "http://[::1/swordfish",
        "https://host/a swordfish",
        "https://host/\N{EURO SIGN}swordfish",
        "https://me:swordfish@host/",
        "https://host:swordfish/",
        "https:///swordfish",
    ],
)
def test_an_environment_variable_that_is_no_address(tmp_path, monkeypatch, url):
    monkeypatch.setenv("A_URL", url)
    with pytest.raises(ConfigError, match="channel 'hook': A_URL holds no address") as told:
        open_sender(WebhookChannel(url_env="A_URL"), "hook", tmp_path)
    assert "swordfish" not in str(told.value)


# E-mail


class Mailbox:
    """Takes mail; addresses that begin with `no` are refused, and all while `closed`."""

    def __init__(self):
        self.mails, self.closed = [], False

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("no"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.closed:
            return "451 come back later"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, mail))
        return "250 OK"


@pytest.fixture(scope="module")
def certificate():
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    return authority, authority.issue_cert("localhost")


@pytest.fixture
def start_server(certificate, tmp_path, monkeypatch):
    """Return a function that starts a mail server with or without TLS and gives it with its port."""
    controllers = pytest.importorskip("aiosmtpd.controller")
    from aiosmtpd.smtp import AuthResult

    authority, issued = certificate
    started = []

    def check(server, session, envelope, mechanism, login):
        return AuthResult(success=(login.login, login.password) == (b"watch", b"swordfish"), handled=False)

    def start(*, tls, trusted=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        options = {"tls_context": context, "require_starttls": True} if tls == "starttls" else {}
        if tls == "tls":
            options = {"ssl_context": context, "auth_require_tls": False}
        if tls:
            options["authenticator"] = check
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        controller = controllers.Controller(Mailbox(), hostname="localhost", port=port, ready_timeout=20, **options)
        if trusted:
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        controller.start()
        started.append(controller)
        return controller.handler, port

    yield start
    for controller in started:
        controller.stop()


def channel(port, *, security, recipients=("duty@example.org", "chief@example.org"), **options):
    values = {"host": "localhost", "port": port, "security": security, "recipients": recipients}
    return EmailChannel(sender="watch@example.org", timeout_s=5, **values, **options)


def test_a_mail_says_everything_once(start_server, tmp_path):
    mailbox, port = start_server(tls=None)
    sender = open_sender(channel(port, security="none"), "post", tmp_path)
    sender.send(CONTENT)
    sender.send(other(1))
    sender.close()
    assert len(mailbox.mails) == 2
    mail_from, recipients, mail = mailbox.mails[0]
    assert (mail_from, recipients) == ("watch@example.org", ["duty@example.org", "chief@example.org"])
    assert mail["Message-ID"] == f"<{CONTENT['key']}@example.org>"
    assert mail["X-Fringewatch-Alert"] == CONTENT["key"]
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[fringewatch] Ätna Bcc: evil@example.org: unrest"
    text = mail.get_content()
    assert CONTENT["text"] in text
    assert "2024-01-01  2024-01-13  0.930         4.2  a" in text.replace("\r", "")
    assert "2024-01-01  2024-01-13  0.930           -  b" in text.replace("\r", "")
    assert "/data/b.tif" in text
    assert "the best 2 of 3 pairs" in text


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_login_over_tls(start_server, tmp_path, monkeypatch, security):
    mailbox, port = start_server(tls=security)
    monkeypatch.setenv("A_USER", "watch")
    monkeypatch.setenv("A_PASSWORD", "swordfish")
    settings = channel(port, security=security, user_env="A_USER", password_env="A_PASSWORD")
    sender = open_sender(settings, "post", tmp_path)
    sender.send(CONTENT)
    sender.close()
    assert len(mailbox.mails) == 1
    monkeypatch.setenv("A_PASSWORD", "wrong")
    with pytest.raises(DeliveryError, match=r"channel 'post': localhost:\d+: .*535") as told:
        open_sender(settings, "post", tmp_path)
    assert "wrong" not in str(told.value)


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_vouches_for(start_server, tmp_path, security):
    _, port = start_server(tls=security, trusted=False)
    with pytest.raises(DeliveryError, match="certificate verify failed"):
        open_sender(channel(port, security=security), "post", tmp_path)


def test_a_server_without_tls_gets_no_mail_in_the_clear(start_server, tmp_path):
    mailbox, port = start_server(tls=None)
    with pytest.raises(DeliveryError, match="STARTTLS"):
        open_sender(channel(port, security="starttls"), "post", tmp_path)
    assert mailbox.mails == []


def test_refusals(start_server, tmp_path, capsys):
    mailbox, port = start_server(tls=None)
    sender = open_sender(channel(port, security="none", recipients=("no@example.org",)), "post", tmp_path)
    with pytest.raises(DeliveryError, match="no such user"):
        sender.send(CONTENT)
    sender.close()
    # One of two: the other has it, and would get it again and again otherwise.
    sender = open_sender(channel(port, security="none", recipients=("no@example.org", "a@b.c")), "post", tmp_path)
    sender.send(CONTENT)
    assert len(mailbox.mails) == 1
    assert "refused no@example.org" in capsys.readouterr().err
    mailbox.closed = True
    with pytest.raises(DeliveryError, match="come back later"):
        sender.send(other(1))
    mailbox.closed = False
    sender.send(other(1))
    sender.close()
    assert len(mailbox.mails) == 2


def test_no_mail_server(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryError, match=r"channel 'post': localhost:\d+: .*refused"):
            open_sender(channel(taken.getsockname()[1], security="none"), "post", tmp_path)
