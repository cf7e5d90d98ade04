"""Files that are not quite what the formats' books say: what is in them is read, or it is said why not."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import file_samples as samples
import pytest
from hopyard.testing import Hop
from hopyard_file.parsing import endings, kinds, plain, web
from hopyard_file.parsing.faults import Refused
from hopyard_file.parsing.unpacking import without_suffix
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul><li hidden>a<li>b<li>c</ul><p>rest", "b c rest"),
        ("<p hidden>x<h1>Title</h1><p>rest", "Title rest"),
        ("<p hidden>x <b>y<div>shown</div>", "shown"),
        ("<p hidden>x<span>y</span> z</p><p>rest", "rest"),
        ("<html><head><title>T</title><p>no body here", "no body here"),
        ("<head><title>T</title>text at once", "text at once"),
        ("<head><title>T</title></head><body hidden>x", ""),
        ("<div><p hidden>x</div>after", "after"),
        ("<table><tr><td hidden>a<td>b<tr><td>c</table>", "b c"),
        ("<div hidden>a<ul><li>b</ul>c</div>d", "d"),
        ("<dl><dt hidden>a<dd>b</dl>", "b"),
        ("<svg><title>S</title></svg>text", "text"),
        ("<script>if (a < b) { '</p>' }</script>text", "text"),
        ("<select><option hidden>a<option>b</select>", "b"),
    ],
)
def test_what_is_hidden_ends_where_browsers_end_it(page: str, text: str) -> None:
    found = web.markdown(page, 10_000)[0]
    assert [
        word for word in found.replace("|", " ").replace("---", " ").split() if word not in "-#*"
    ] == text.split()


def test_only_the_title_of_the_page_is_its_title() -> None:
    page = "<head><title>T</title></head><svg><title>S</title></svg>"
    assert web.markdown(page, 1000)[1] == "T"


@given(
    st.lists(
        st.sampled_from(
            ["<p hidden>", "<li hidden>", "<ul>", "</ul>", "<div>", "</div>", "<p>", "</p>", "x "]
        )
    )
)
def test_whatever_is_hidden_what_follows_all_of_it_is_shown(parts: list[str]) -> None:
    page = "<body><section>" + "".join(parts) + "</section><section>END</section>"
    assert "END" in web.markdown(page, 100_000)[0]


def picture(kind: str) -> bytes:
    made = io.BytesIO()
    Image.new("P", (20, 20)).save(made, kind)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP"])
@pytest.mark.parametrize(
    "more", [b"MZ" + b"x" * 100, b"<?php " * 20, b" " * 70_000 + b"<?php", b"\0;" + b"y" * 99]
)
def test_nothing_stands_behind_a_picture(kind: str, more: bytes) -> None:
    assert endings.behind(kind.lower(), picture(kind)) is None
    assert endings.behind(kind.lower(), picture(kind) + b"\0" * 5000) is None
    with pytest.raises(Refused, match="behind the picture"):
        kinds.kind_of(picture(kind) + more)


def test_what_cameras_put_behind_a_jpeg_is_left_alone_and_programs_are_not() -> None:
    made = io.BytesIO()
    Image.new("RGB", (20, 20)).save(made, "JPEG")
    assert kinds.kind_of(made.getvalue() + b"MotionPhoto_Data" * 50).name == "jpeg"
    with pytest.raises(Refused, match="behind the picture"):
        kinds.kind_of(made.getvalue() + b" " * 70_000 + b"\x7fELF")


def test_a_pdf_with_an_archive_behind_it_is_two_kinds_whatever_follows() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", "x")
    for more in (b"", b"x", b"junk" * 100):
        with pytest.raises(Refused, match="two kinds"):
            kinds.kind_of(samples.pdf([["text"]]) + packed.getvalue() + more)


@pytest.mark.parametrize(
    "text",
    [
        b"A PDF begins with %PDF-1.7 and is an object of its own. No object here.",
        b"MZ is how programs begin.",
        b"BZh is no archive.",
    ],
)
def test_a_text_about_a_format_is_text(text: bytes) -> None:
    assert kinds.kind_of(text).name == "text"


def test_archives_are_known_by_more_than_three_letters() -> None:
    assert kinds.kind_of(bz2.compress(b"x")).name == "bzip2"
    assert kinds.kind_of(bz2.compress(b"")).name == "bzip2"


@pytest.mark.parametrize("name", ["punycode", "idna", "unicode_escape", "none-such", "a\0b"])
def test_what_is_no_charset_makes_no_text(name: str) -> None:
    assert plain.by_name(b"text", name) is None


@pytest.mark.parametrize(
    ("name", "expected"), [("..gz", "content"), ("...gz", "content"), ("a.gz", "a"), ("", "content")]
)
def test_what_was_packed_has_a_name(name: str, expected: str) -> None:
    assert without_suffix(name) == expected


@pytest.mark.parametrize("packed", [False, True])
def test_a_damaged_tar_is_refused_whole(hop: Hop, folder: Path, packed: bool) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for n in range(10):
            info = tarfile.TarInfo(f"file-{n}")
            info.size = 512
            archive.addfile(info, io.BytesIO(b"x" * 512))
    data = bytearray(made.getvalue())
    data[3 * 1024 + 1] ^= 1
    (folder / "a.tar").write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    outcome: Any = hop.run("file.unpack_archive", root="in", way="a.tar", into_root="in", into="out")
    assert outcome.state == "dead"
    assert "damaged" in outcome.error["message"]
    assert not (folder / "out").exists()


def test_an_office_file_with_two_parts_of_one_name_is_refused() -> None:
    made = io.BytesIO(samples.docx())
    with zipfile.ZipFile(made, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("word/document.xml", "<other/>")
    with pytest.raises(Refused, match="two parts of one name"):
        kinds.kind_of(made.getvalue())


def test_a_declaration_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="no page"):
        web.markdown("<![" * 1000, 1000)
