"""Whatever bytes come: what reads them says what they are or refuses them, and ends."""

from __future__ import annotations

import file_samples as samples
import pytest
from hopyard_file.parsing import archives, kinds, mail, pictures, plain, web
from hopyard_file.parsing.cleaning import cleaned, storable
from hopyard_file.parsing.faults import Content, Limits, Refused
from hypothesis import given, settings
from hypothesis import strategies as st

_PIECES = st.sampled_from(
    [
        *(
            b"%PDF-1.7\n",
            b"%%EOF",
            b"PK\x03\x04",
            b"PK\x05\x06",
            b"PK\x01\x02",
            b"\x89PNG\r\n\x1a\n",
            b"IEND",
        ),
        *(
            b"GIF89a",
            b"\xff\xd8\xff",
            b"\xff\xd9",
            b"RIFF",
            b"WEBP",
            b"BM",
            b"II*\x00",
            b"MM\x00*",
            b"\x1f\x8b\x08",
        ),
        *(
            b"<html>",
            b"<?xml?>",
            b"<!--",
            b"From: a\nTo: b\n\n",
            b"MZ",
            b"ustar",
            bytes(257),
            b"text ",
            b"\xff\xfe",
        ),
    ]
)
ANYTHING = st.lists(st.one_of(_PIECES, st.binary(max_size=60)), max_size=8).map(b"".join)
MARKUP = st.lists(
    st.sampled_from(
        [
            *("<p>", "</p>", "<table>", "</table>", "<tr>", "<td>", "</td>", "<ul>", "<li>", "<ol>", "</ol>"),
            *("<a href=x>", "</a>", "<pre>", "</pre>", "<script>", "</script>", "<head>", "<body>", "<h1>"),
            *("<", ">", "&", "&#0;", "<!--", "-->", "<![CDATA[", "text", "|", "\x00", "\ud800", "<b hidden>"),
        ]
    ),
    max_size=40,
).map("".join)


@given(data=ANYTHING, suffix=st.sampled_from(["", ".txt", ".pdf", ".md", ".html", ".zip"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_of_one_kind_or_refused(data: bytes, suffix: str) -> None:
    try:
        kind = kinds.kind_of(data, suffix)
    except Refused:
        return
    assert kinds.KINDS[kind.name] is kind
    content = Content(kind.name, kind.media_type)
    readers = {"image": pictures.read, "html": web.read, "mail": mail.read, "text": plain.read}
    if kind.group in readers:
        try:
            readers[kind.group](data, content, Limits(max_text=1000))
        except Refused:
            return
        (content.text + "".join(content.notes)).encode()


@given(html=MARKUP)
@settings(max_examples=300, deadline=None)
def test_any_markup_becomes_text_without_controls(html: str) -> None:
    text, title, cut, _ = web.markdown(html, 500)
    text.encode()
    title.encode()
    assert "\x00" not in text
    assert cut or len(text) <= 600


@given(text=st.text(max_size=200))
def test_cleaned_text_can_be_stored_and_stays_as_it_is(text: str) -> None:
    for found in (cleaned(text), storable(text)):
        found.encode()
        assert "\x00" not in found
    assert storable(storable(text)) == storable(text)
    assert cleaned(cleaned(text)) == cleaned(text)


@given(name=st.text(max_size=60))
def test_a_usable_name_leads_nowhere_else(name: str) -> None:
    try:
        way = archives.usable(name)
    except Refused:
        return
    assert not way.startswith("/")
    assert not {"", ".", ".."}.intersection(way.split("/")) or way == ""


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: samples.png(640, 480), (640, 480)),
        (lambda: b"GIF89a" + (640).to_bytes(2, "little") + (480).to_bytes(2, "little"), (640, 480)),
        (lambda: picture("JPEG"), (64, 48)),
        (lambda: picture("TIFF"), (64, 48)),
        (lambda: picture("BMP"), (64, 48)),
        (lambda: picture("WEBP"), (64, 48)),
        (lambda: picture("WEBP", lossless=True), (64, 48)),
    ],
)
def test_the_size_of_pictures_is_read_from_their_headers(make, expected) -> None:  # type: ignore[no-untyped-def]
    data = make()
    assert tuple(pictures.size(data, kinds.kind_of(data).name)) == expected


def test_a_picture_of_several_pages_says_so() -> None:
    import io

    from PIL import Image

    out, page = io.BytesIO(), Image.new("RGB", (8, 8))
    page.save(out, "TIFF", save_all=True, append_images=[page])
    content = Content("tiff", "image/tiff")
    pictures.read(out.getvalue(), content, Limits())
    assert content.notes == ["it has more pages, of which only the first is read"]


def picture(form: str, **options: bool) -> bytes:
    """A picture of 64 times 48 pixels by Pillow."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, form, **options)
    return out.getvalue()
