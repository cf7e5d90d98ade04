"""What is handed in becomes bytes that no server can misread, or is refused with a reason."""

from __future__ import annotations

import base64
import email.policy
import os
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hopyard.errors import InvalidInput
from hopyard_email import Attachment, EmailSettings, Mail
from hopyard_email.addresses import parse_address
from hopyard_email.composing import compose, templates
from hopyard_email.composing.plaintext import to_text
from hypothesis import example, given
from hypothesis import strategies as st

SENDER = parse_address("Alice <alice@example.org>", "sender")
PLAIN = EmailSettings()


def composed(settings: EmailSettings = PLAIN, **given: Any) -> bytes:
    mail = Mail(**{"to": ["ada@example.org"], "subject": "Hello", "text": "Hello!", **given})
    date = datetime(2027, 1, 2, 8, tzinfo=UTC)
    return compose(mail, SENDER, message_id="<1@example.org>", date=date, settings=settings).raw


def read(raw: bytes) -> EmailMessage:
    found = BytesParser(policy=email.policy.default).parsebytes(raw)
    assert isinstance(found, EmailMessage)
    return found


BAD = [
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\r\nBcc: eve@example.org\r\n",
    "=?utf-8?q?=0A?=",
]
FIELDS = ["to", "cc", "bcc", "reply_to", "subject", "header", "header name", "attachment", "type"]


def with_field(field: str, value: str) -> dict[str, Any]:
    """Return a mail with a text in one field."""
    fields: dict[str, dict[str, Any]] = {
        "to": {"to": [f"Ada{value} <ada@example.org>"]},
        "cc": {"cc": [f"ada{value}@example.org"]},
        "bcc": {"bcc": [f"ada@example.org{value}"]},
        "reply_to": {"reply_to": f"ada@exa{value}mple.org"},
        "subject": {"subject": f"Hello{value}you"},
        "header": {"headers": {"X-Shop": f"a{value}b"}},
        "header name": {"headers": {f"X-Shop{value}": "7"}},
        "attachment": {"attachments": [{"name": f"a{value}.txt", "data": ""}]},
        "type": {"attachments": [{"name": "a", "type": f"text/pl{value}ain", "data": ""}]},
    }
    return fields[field]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("field", FIELDS)
def test_what_could_add_a_header_is_refused_in_each_field(field: str, bad: str) -> None:
    with pytest.raises(InvalidInput, match="found"):
        composed(**with_field(field, bad))


@given(st.sampled_from(FIELDS), st.text(max_size=60))
@example("subject", "=?utf-8?q?=0D=0ABcc=3A_eve@example.org?=")
@example("to", '"a\\" <eve@example.org>, "')
@example("header", " " * 50)
def test_nobody_gets_a_mail_who_was_not_named_and_no_header_is_added(field: str, value: str) -> None:
    try:
        raw = composed(**with_field(field, value))
    except InvalidInput:
        return
    head, _, _ = raw.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert names.count(b"from") == names.count(b"to") == names.count(b"subject") == 1
    assert b"bcc" not in names
    expected = {b"from", b"to", b"cc", b"reply-to", b"subject", b"date", b"message-id", b"auto-submitted"}
    allowed = expected | {b"mime-version", b"content-type", b"content-transfer-encoding"}
    assert {name for name in names if not name.startswith(b"x-shop")} <= allowed


@given(
    st.lists(
        st.sampled_from(["\r", "\n", "\r\n", ".", ".\r", "\n.\n", "\r.\r", "a", "MAIL FROM:<a@b.c>"])
        | st.text(max_size=20)
    ).map("".join),
    st.booleans(),
)
@example("\r\n.\rMAIL FROM:<eve@example.org>\r\n", False)
@example("\n.\r\nQUIT\r\n", True)
def test_no_text_ends_a_mail_before_its_end(text: str, html: bool) -> None:
    """SMTP smuggling lives from line ends that two servers read differently: there are none but CRLF."""
    try:
        raw = composed(text=text, html=f"<p>{text}</p>" if html else None)
    except InvalidInput:
        return
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\0", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    stuffed = re.sub(rb"(?m)^\.", b"..", raw)
    assert b"\r\n.\r\n" not in stuffed
    assert raw.isascii()


def test_headers_that_are_ours_cannot_be_given() -> None:
    for name in ("Bcc", "from", "Content-Type", "DKIM-Signature", "Message-Id", "X-Hopyard-Letter"):
        with pytest.raises(InvalidInput, match="follows from the mail itself"):
            composed(headers={name: "x"})
    assert read(composed(headers={"X-Shop": "Grüße"}))["X-Shop"] == "Grüße"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"to": []}, "expected at least one recipient"),
        ({"to": ["ada"]}, "expected an address"),
        ({"to": [f"a{n}@example.org" for n in range(51)]}, "at most 50"),
        ({"text": None}, "expected `text`, `html` or `template`"),
        ({"subject": " "}, "expected a line of text"),
        ({"text": "a\0b"}, "U\\+0000 at place 1"),
        ({"text": "x" * 11_000_000}, "at most 10,000,000"),
        ({"values": {"a": 1}}, "expected a `template`"),
        ({"template": "x", "text": "x"}, "no `text`"),
        ({"template": "../x", "text": None}, "template: found"),
        ({"bulk": True}, "needs the setting `unsubscribe`"),
        ({"attachments": [{"name": "a"}]}, "either `data` or `file`"),
        ({"attachments": [{"name": "a", "data": "?"}]}, "no base64"),
        ({"attachments": [{"name": "../a", "data": ""}]}, "without slashes"),
        ({"attachments": [{"name": "a", "data": "", "type": "message/rfc822"}]}, "part of this mail"),
        ({"attachments": [{"file": "/etc/passwd"}]}, "there are none"),
        ({"attachments": [{"name": "a.png", "data": "", "inline": True}]}, "need an HTML part"),
        ({"attachments": [{"name": "a", "data": "A" * 14_000_000}]}, "larger than"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        composed(**given)


def test_all_parts_are_there() -> None:
    data = base64.b64encode(b"%PDF").decode()
    raw = composed(
        html="<p>Hi <img src='cid:logo.png'></p>",
        text=None,
        cc=['"Bob, Jr." <bob@example.org>'],
        bcc=["hidden@example.org"],
        reply_to="desk@example.org",
        attachments=[
            Attachment(name="Rechnung für Zoë.pdf", data=data),
            Attachment(name="logo.png", data=data, inline=True),
        ],
    )
    made = read(raw)
    assert b"hidden" not in raw
    assert made["Cc"] == '"Bob, Jr." <bob@example.org>'
    assert made["Auto-Submitted"] == "auto-generated"
    body = made.get_body(("plain",))
    assert body is not None
    assert body.get_content() == "Hi\r\n"
    (attached,) = made.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("Rechnung für Zoë.pdf", b"%PDF")
    assert b"Content-ID: <logo.png>" in raw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "root" / "in").mkdir(parents=True)
    (tmp_path / "root" / "in" / "a.txt").write_text("fine")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "way").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "root" / "pipe")
    return tmp_path / "root"


def test_files_are_attached_from_their_folders_alone(folder: Path) -> None:
    given = EmailSettings(attachment_roots=(folder,), max_bytes=10_000)
    for name in ("in/a.txt", str(folder / "in" / "a.txt")):
        (attached,) = read(composed(given, attachments=[Attachment(file=name)])).iter_attachments()
        assert (attached.get_filename(), attached.get_content()) == ("a.txt", "fine")
    (folder / "large").write_bytes(b"x" * 10_001)
    outside = str(folder.parent / "secret")
    for name in (
        "link",
        "way/secret",
        "../secret",
        "in/../../secret",
        outside,
        "none",
        "pipe",
        "in",
        "large",
        "a\0b",
    ):
        with pytest.raises(InvalidInput):
            composed(given, attachments=[Attachment(name="x", file=name)])


# --- templates


def rendered(source: str, **values: Any) -> templates.Rendered:
    given = EmailSettings.model_validate({"inline_templates": {"t": {"subject": "s", "html": source}}})
    return templates.render("t", values, given)


def test_values_are_escaped_and_never_templates_themselves() -> None:
    made = rendered("<p>{{ name }}</p>", name="<script>{{ 7 * 7 }}</script>")
    assert made.html == "<p>&lt;script&gt;{{ 7 * 7 }}&lt;/script&gt;</p>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ ('%c' * 9).__class__ }}",
        "{% set x = values.append(1) %}{{ values.append(1) }}",
        "{{ '{0.__class__}'.format(name) }}",
        "{% for a in range(10 ** 9) %}x{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}",
        "{{ missing }}",
        "{% include '../secret' %}",
        "{% include 'nothing.html' %}",
        "{{ unclosed",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(InvalidInput, match="template t"):
        rendered(source, name="x", values=[])


def test_templates_are_files_too(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text(
        "<style>h1 { color: red }</style><h1>{% block title %}{% endblock %}</h1>"
    )
    (tmp_path / "hi.html").write_text("{% extends 'base.html' %}{% block title %}Hi {{ name }}{% endblock %}")
    (tmp_path / "hi.subject").write_text("For {{ name }}\n")
    (tmp_path / "both.html").write_text("<p>html</p>")
    (tmp_path / "both.txt").write_text("text of {{ name }}")
    (tmp_path / "stolen.html").symlink_to("/etc/passwd")
    given = EmailSettings(templates=tmp_path)
    made = templates.render("hi", {"name": "Zoë & Co"}, given)
    html, text = templates.finish(made.html, made.text)
    assert made.subject == "For Zoë & Co"  # no HTML, so nothing is escaped
    assert '<h1 style="color: red;">Hi Zoë &amp; Co</h1>' in str(html)
    assert text == "Hi Zoë & Co\n"
    assert templates.render("both", {"name": "x"}, given).text == "text of x"
    assert templates.names(given) == ["base", "both", "hi", "stolen"]
    with pytest.raises(InvalidInput, match="template stolen"):
        templates.render("stolen", {}, given)
    with pytest.raises(InvalidInput, match="there are: base, both, hi"):
        templates.render("no", {}, given)


def test_style_sheets_elsewhere_are_not_fetched() -> None:
    html, _ = templates.finish('<link rel="stylesheet" href="http://127.0.0.1:9/x.css"><p>x</p>', None)
    assert "<p>x</p>" in str(html)


def test_html_becomes_text() -> None:
    html = """<head><title>no</title></head><body><h1>Title</h1><p>One&nbsp;two<br>three</p>
    <ul><li>a</li><li>b</li></ul>
    <a href="https://x.example/y">link</a> <a href="mailto:a@b.example">a@b.example</a>
    <table><tr><td>1</td><td>2</td></tr></table><img alt="logo" src="x"><script>no()</script></body>"""
    assert to_text(html).splitlines() == [
        *("Title", "", "One two", "three", "", "- a", "- b", ""),
        *("link (https://x.example/y) a@b.example", "", "1 2", "", "[logo]"),
    ]


@given(st.text())
def test_any_html_becomes_text(html: str) -> None:
    assert to_text(html).endswith("\n")
