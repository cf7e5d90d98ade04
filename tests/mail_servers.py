"""Exim and Dovecot for tests: a real way for mail to go out, and real mailboxes that it arrives in.

`running_mail()` starts both on free ports of 127.0.0.1 with a certificate made for them; they end with the
tests. Every address of `DOMAINS` has a mailbox, with the password `PASSWORD`, except:

- `bounce…` is refused at once with 550 5.1.1, `later…` for now with 451 4.2.1
- `full…` has a mailbox that holds nothing: it is taken, and a report of non-delivery comes back

Both need root, as packages for Debian have them. A test is skipped where they are missing, and fails where
the environment has `CI=true`.
"""

from __future__ import annotations

import imaplib
import json
import mailbox
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from servers import _folder, _listens, _needed, _server, free_port

DOMAINS = ("example.test", "other.test", "third.test")
PASSWORD = "secret"
_OWNER = "mail"

_DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp submission
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/cert.pem
ssl_key = <{folder}/key.pem
disable_plaintext_auth = yes
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0 secs
mail_max_userip_connections = 100
mail_location = maildir:{folder}/boxes/%u/Maildir
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
default_internal_user = dovecot
default_login_user = dovenull
mail_plugins = quota
passdb {{
  driver = static
  mechanisms = plain login
  args = password={password}
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {folder}/oauth2.conf
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/boxes/%u allow_all_users=yes {quota}
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service submission-login {{
  inet_listener submission {{
    port = {submission}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service anvil {{
  client_limit = 1000
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {smtp}
protocol lmtp {{
  postmaster_address = postmaster@example.test
  mail_plugins = quota
}}
plugin {{
  quota = maildir:User quota
  quota_grace = 0
}}
namespace inbox {{
  inbox = yes
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
}}
"""

_OAUTH2 = """
introspection_mode = post
introspection_url = http://127.0.0.1:{tokens}/introspect
active_attribute = active
active_value = true
username_attribute = username
"""

_EXIM = """
primary_hostname = localhost
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
log_selector = +millisec +received_recipients
daemon_smtp_ports = {smtp} : {smtps}
tls_on_connect_ports = {smtps}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/exim.pem
auth_advertise_hosts = ${{if eq{{$tls_in_cipher}}{{}}{{}}{{*}}}}
domainlist local_domains = {domains}
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = accept
message_size_limit = 10M
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
delay_warning =
host_lookup =
rfc1413_query_timeout = 0s
begin acl
acl_rcpt:
  deny condition = ${{if match{{$local_part}}{{^bounce}}{{yes}}{{no}}}}
       message = 550 5.1.1 no such user
  defer condition = ${{if match{{$local_part}}{{^later}}{{yes}}{{no}}}}
       message = 451 4.2.1 try again later
  accept authenticated = *
  accept domains = +local_domains
  deny message = 550 5.7.1 relay not permitted
begin routers
local:
  driver = accept
  domains = +local_domains
  transport = mailboxes
refused:
  driver = redirect
  data = :fail: unroutable
  allow_fail
begin transports
mailboxes:
  driver = smtp
  protocol = lmtp
  hosts = 127.0.0.1
  port = {lmtp}
  hosts_override
  allow_localhost
  rcpt_include_affixes = true
begin retry
* * F,1h,5s
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if eq{{$auth3}}{{{password}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if eq{{$auth2}}{{{password}}}}}
  server_set_id = $auth1
"""


@dataclass
class TokenServer:
    """Gives OAuth2 tokens, and tells Dovecot whose a token is."""

    port: int = 0
    tokens: dict[str, str] = field(default_factory=dict)
    """User by token."""
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    """The forms that clients sent for a token."""
    user: str = "alice@example.test"
    lifetime: int = 3600

    @property
    def url(self) -> str:
        """Where clients ask for a token."""
        return f"http://127.0.0.1:{self.port}/token"

    def issue(self) -> str:
        """Return a new token of the user."""
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = self.user
        return token


@dataclass
class MailServers:
    """The running servers: ports of 127.0.0.1, and what arrived."""

    folder: Path
    smtp: int
    smtps: int
    submission: int
    imap: int
    imaps: int
    lmtp: int
    tokens: TokenServer

    @property
    def certificate(self) -> Path:
        """The authority that vouches for both servers: their own certificate."""
        return self.folder / "cert.pem"

    def arrived(self, user: str, place: str = "") -> list[Message]:
        """Return the mails in a mailbox, read from the disk; `place` is `.Sent` and the like."""
        folder = self.folder / "boxes" / user / "Maildir" / place
        if not (folder / "new").is_dir():
            return []
        return [*mailbox.Maildir(str(folder), create=False)]

    def ids(self, user: str) -> list[str]:
        """Return the Message-IDs in a user's inbox, each as often as it is there."""
        return [str(message["Message-ID"]) for message in self.arrived(user)]

    def arrivals(self) -> list[tuple[datetime, str]]:
        """Return when Exim took each mail, and for whom, from its log; oldest first."""
        log = self.folder / "spool" / "mainlog"
        line = re.compile(r"^(\S+ \S+) \S+ <= (?!<>).* for (\S+)$", re.MULTILINE)
        text = log.read_text(errors="replace") if log.exists() else ""
        return [(datetime.fromisoformat(at), who) for at, who in line.findall(text)]

    def imap_client(self, user: str) -> imaplib.IMAP4_SSL:
        """Return a client that is logged in."""
        client = imaplib.IMAP4_SSL(
            "localhost", self.imaps, ssl_context=ssl.create_default_context(cafile=str(self.certificate))
        )
        client.login(user, PASSWORD)
        return client

    def put(self, user: str, raw: bytes, folder: str = "INBOX") -> None:
        """Put a mail into a mailbox, as it is."""
        client = self.imap_client(user)
        try:
            assert client.append(folder, "", "", raw)[0] == "OK"
        finally:
            client.logout()

    def wait(self, user: str, count: int, within: float = 60) -> list[Message]:
        """Return the mails of an inbox once there are so many."""
        deadline = time.monotonic() + within
        while len(found := self.arrived(user)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} mails for {user}\n{self.logs()}"
            time.sleep(0.05)
        return found

    def logs(self) -> str:
        """Return the ends of the servers' logs."""
        files = [self.folder / "dovecot.log", *sorted((self.folder / "spool").glob("*log"))]
        return "\n".join(
            f"== {f.name}\n{f.read_text(errors='replace')[-3000:]}" for f in files if f.is_file()
        )


@contextmanager
def running_mail() -> Iterator[MailServers]:
    """Exim and Dovecot, with no mail in them."""
    exim = _needed(shutil.which("exim4", path="/usr/sbin"), "exim4")
    dovecot = _needed(shutil.which("dovecot", path="/usr/sbin"), "dovecot")
    _needed("root" if os.geteuid() == 0 else None, "root, without whom Exim and Dovecot do not start")
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        tokens = stack.enter_context(_token_server())
        made = MailServers(
            folder,
            **{name: free_port() for name in ("smtp", "smtps", "submission", "imap", "imaps", "lmtp")},
            tokens=tokens,
        )
        _prepare(made)
        stack.enter_context(
            _server(
                [dovecot, "-F", "-c", str(folder / "dovecot.conf")],
                folder,
                lambda: all(_listens(port)() for port in (made.imaps, made.lmtp, made.submission)),
                stop_signal=signal.SIGTERM,
            )
        )
        stack.enter_context(
            _server(
                [exim, "-C", str(folder / "exim.conf"), "-bdf", "-q5s"],
                folder,
                lambda: _listens(made.smtp)() and _listens(made.smtps)(),
            )
        )
        yield made


def _prepare(made: MailServers) -> None:
    """Write the certificate and the settings of both servers."""
    folder = made.folder
    for name in ("run", "state", "boxes", "spool"):
        (folder / name).mkdir()
    shutil.chown(folder / "boxes", _OWNER)
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj"),
            *("/CN=localhost", "-addext", names, "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    shutil.copy(folder / "key.pem", folder / "exim.pem")
    for place in ("exim.pem", "spool"):
        shutil.chown(folder / place, "Debian-exim")
    values = {
        **{name: getattr(made, name) for name in ("smtp", "smtps", "submission", "imap", "imaps", "lmtp")},
        "folder": folder,
        "tokens": made.tokens.port,
        "password": PASSWORD,
        "domains": " : ".join(DOMAINS),
        "quota": "quota_rule=*:bytes=%{if;%Ln;*;full*;1;0}",
    }
    (folder / "dovecot.conf").write_text(_DOVECOT.format(**values))
    (folder / "oauth2.conf").write_text(_OAUTH2.format(**values))
    (folder / "exim.conf").write_text(_EXIM.format(**values))


@contextmanager
def _token_server() -> Iterator[TokenServer]:
    told = TokenServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            if self.path == "/introspect":
                user = told.tokens.get(form.get("token", [""])[0])
                self.answer({"active": user is not None, "username": user or ""})
                return
            told.asked.append(form)
            self.answer({"access_token": told.issue(), "token_type": "Bearer", "expires_in": told.lifetime})

        def answer(self, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
