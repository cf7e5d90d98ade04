"""Reading strangers' mail never fails, whatever it is, and stays within its bounds."""

from __future__ import annotations

from email.message import EmailMessage

from hopyard_email.addresses import fits
from hopyard_email.incoming.parsing import MAX_PARTS, MAX_TEXT, decoded, parse
from hopyard_email.incoming.reports import kind_of, reports_in
from hypothesis import example, given
from hypothesis import strategies as st

PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b",
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=b",
        b"Content-Type: message/delivery-status",
        b"Content-Type: text/plain; charset=utf-7",
        b"Content-Type: text/html; charset=\xff",
        b"Content-Type: ;;;=",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Subject: =?utf-8?b?w7w=?= =?x?q?y?= =?utf-8?q?=FF?=",
        b"Final-Recipient: rfc822; a@b.example",
        b"Action: failed\r\nStatus: 5.1.1",
        b'From: "a" <<>, @ <x@y>',
        b"--b",
        b"--b--",
        b"",
        b"\xff\xfe\x00=ZZ",
        b"<p>hello<script>",
    ]
)


@given(st.lists(PIECES | st.binary(max_size=30), max_size=40), st.sampled_from([b"\r\n", b"\n"]))
@example([b"--b"] * 5, b"\r\n")
def test_nothing_that_comes_in_makes_it_fail(pieces: list[bytes], end: bytes) -> None:
    parsed = parse(end.join(pieces))
    assert len(parsed.parts) <= MAX_PARTS
    assert len(parsed.text) <= 3 * MAX_TEXT
    kind_of(parsed)
    reports_in(parsed)
    for name in ("Subject", "From", "Message-ID"):
        value = parsed.value(name)
        value.encode()
        assert "\n" not in value
        assert "\r" not in value


def test_what_the_library_writes_is_read() -> None:
    made = EmailMessage()
    made["From"] = "Zoë <zoe@example.org>"
    made["To"] = "a@example.org, B <b@example.org>"
    made["Subject"] = "Grüße aus Köln"
    made.set_content("Hallo, Zoë!\n")
    made.add_alternative("<p>Hallo, <b>Zoë</b>!</p>", subtype="html")
    made.add_attachment(b"\0\1", maintype="application", subtype="pdf", filename="a.pdf")
    parsed = parse(made.as_bytes())
    assert [part.type for part in parsed.parts] == ["text/plain", "text/html", "application/pdf"]
    assert (parsed.sender, parsed.value("Subject")) == ("zoe@example.org", "Grüße aus Köln")
    assert parsed.addresses("To", "Cc") == ["a@example.org", "b@example.org"]
    assert parsed.text == "Hallo, Zoë!\n"
    assert parsed.problems == []


def test_of_html_alone_the_text_is_made() -> None:
    parsed = parse(
        b"Content-Type: text/html\r\n\r\n<style>p{}</style><p>Hello <a href='https://x.example'>you</a></p>"
    )
    assert parsed.text == "Hello you (https://x.example)\n"


def test_a_header_with_very_many_words_is_not_decoded() -> None:
    assert decoded("=?utf-8?q?a?= " * 1000).startswith("=?utf-8?q?a?=")


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
@example("*a*a*a*a*a*a*a*a*a*a*b", "a" * 300)
def test_patterns_are_those_of_the_shell(pattern: str, text: str) -> None:
    import re

    if len(text) < 50:
        likewise = "".join({"*": ".*", "?": "."}.get(one, one) for one in pattern)
        assert fits(pattern, text) == bool(re.fullmatch(likewise, text))
    else:
        assert not fits(pattern, text)
