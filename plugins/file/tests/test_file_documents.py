"""Documents that people make are read: text, tables, metadata, pages; scans, and only they, by OCR."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import file_samples as samples
import pytest
from hopyard.testing import Hop

Put = Callable[[str, bytes], str]
MINUTES = """# Minutes

We met on Monday.

| Name | Age |
| --- | --- |
| Ada | 36 |
| Alan | 41 |"""


def read(hop: Hop, way: str, **arguments: Any) -> Any:
    """What the task says of a file."""
    outcome: Any = hop.run("file.process_document", root="in", way=way, **arguments)
    assert outcome.ok, outcome.error
    return outcome.result()


def refusal(hop: Hop, way: str, task: str = "file.process_document", **arguments: Any) -> str:
    """Why a file is not read, which is final."""
    outcome: Any = hop.run(task, root="in", way=way, **arguments)
    assert (outcome.state, outcome.attempt) == ("dead", 1), outcome
    assert outcome.error["category"] == "invalid_input", outcome.error
    return str(outcome.error["message"])


@pytest.mark.parametrize(
    ("name", "content", "kind", "text"),
    [
        ("a.docx", samples.docx, "docx", MINUTES),
        ("a.xlsx", samples.xlsx, "xlsx", "## Sales\n\n| Month | Sum |\n| --- | --- |\n| May | 12.5 |"),
        ("a.pptx", samples.pptx, "pptx", "## The plan\n\nStep one"),
        ("a.odt", samples.odt, "odt", "# Title\n\nHello"),
        ("a.pdf", lambda: samples.pdf([["Hello Oslo"], ["Page two"]]), "pdf", "Hello Oslo\fPage two"),
        ("a.md", lambda: b"# Title\n\ntext\n", "markdown", "# Title\n\ntext\n"),
        ("a.csv", lambda: b"a,b\n1,2\n", "csv", "a,b\n1,2\n"),
        ("b.txt", lambda: "Blåbær".encode("utf-16"), "text", "Blåbær"),
        ("a.json", lambda: b'{"a": 1}', "json", '{"a": 1}'),
    ],
)
def test_a_document_is_read(
    hop: Hop, put: Put, name: str, content: Callable[[], bytes], kind: str, text: str
) -> None:
    data = content()
    found = read(hop, put(name, data))
    assert (found.kind, found.text, found.notes) == (kind, text, [])
    assert (found.sha256, found.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert found.characters == len(text)


def test_a_text_whose_encoding_nobody_knows_is_read_and_that_is_said(hop: Hop, put: Put) -> None:
    found = read(hop, put("a.txt", "Blåbær".encode("cp1252")))
    assert found.text == "Blåbær"
    assert found.notes == ["nothing says in which encoding it is: read as Windows-1252"]


def test_metadata_of_documents(hop: Hop, put: Put) -> None:
    assert read(hop, put("a.docx", samples.docx())).metadata["title"] == "Minutes of May"
    found = read(hop, put("a.pdf", samples.pdf([["x"], ["y"]])))
    assert (found.metadata["title"], found.metadata["author"], found.pages) == ("A report", "Ada Lovelace", 2)


def test_a_mail_is_read_and_its_attachments_are_named(hop: Hop, put: Put) -> None:
    found = read(hop, put("a.eml", samples.mail()))
    assert found.text.startswith("From: Ada <ada@example.org>\nTo: bob@example.org\nSubject: Trains\n")
    assert "Dear Bob, the trains leave at noon.\n" in found.text
    assert found.text.count("trains leave") == 1, "not again as HTML"
    assert found.metadata["attachments"] == [
        {"name": "plan.pdf", "media_type": "application/pdf", "about_bytes": 18}
    ]
    assert found.metadata["created"] == "2027-03-01T10:00:00+01:00"


HTML = b"""<!DOCTYPE html><html><head><title>Shop &amp; Co</title><style>p {color: red}</style>
<script>alert("x")</script><body><h1>Teas</h1><p>We have <b>green</b> tea, <a href="https://example.org/t">more</a>
and <a href="javascript:alert(1)">this</a>.<ul><li>one<li>two</ul><ol><li>first</li></ol>
<table><tr><th>Tea<th>Price</tr><tr><td>Green|white<td>3</tr></table><pre>a  b</pre><p hidden>secret</p>
<img src="http://10.0.0.1/x.png" alt="a cup"></body></html>"""


def test_a_web_page_becomes_markdown(hop: Hop, put: Put) -> None:
    found = read(hop, put("a.html", HTML))
    assert found.metadata["title"] == "Shop & Co"
    for part in (
        "# Teas",
        "We have **green** tea, [more](https://example.org/t) and [this].",
        "- one\n- two",
        "1. first",
        "| Tea | Price |\n| --- | --- |\n| Green\\|white | 3 |",
        "```\na  b\n```",
        "![a cup]",
    ):
        assert part in found.text, part
    for part in ("alert", "secret", "color", "10.0.0.1"):
        assert part not in found.text, part


def test_a_page_without_an_end_of_its_head_is_read(hop: Hop, put: Put) -> None:
    assert read(hop, put("a.html", b"<html><head><title>t<body><p>text</html>")).kind == "html"
    assert read(hop, put("b.html", b"<html><head><meta charset=utf-8><body><p>text</html>")).text == "text"


def test_text_of_300_pages_and_its_limits(hop: Hop, put: Put) -> None:
    pages = [samples.lines(20, seed) for seed in range(300)]
    way = put("long.pdf", samples.pdf(pages))
    outcome: Any = hop.run("file.extract_text_from_pdf", root="in", way=way)
    found = outcome.result()
    assert (found.pages, found.pages_by_ocr, found.more) == (300, [], True)
    assert [page.text for page in found.text[:3]] == ["\n".join(page) for page in pages[:3]]
    last = hop.run("file.extract_text_from_pdf", root="in", way=way, first=299).result()
    assert [(page.number, page.text) for page in last.text] == [
        (299, "\n".join(pages[298])),
        (300, "\n".join(pages[299])),
    ]
    assert not last.more
    wrong: Any = hop.run("file.extract_text_from_pdf", root="in", way=way, first=301)
    assert "found 301, but long.pdf has 300 pages" in wrong.error["message"]
    other: Any = hop.run("file.extract_text_from_pdf", root="in", way=put("a.txt", b"text"))
    assert "expected a PDF" in other.error["message"]


def test_words_are_joined_and_ligatures_written_out() -> None:
    from hopyard_file.parsing.cleaning import cleaned, storable

    assert cleaned("of\ufb01ce  \nrail-\nway and Mont-\nBlanc\n\n\n\nend\x00\ud800\n") == (
        "office\nrailway and Mont-\nBlanc\n\nend"
    )
    assert storable("a\r\nb\x00\x1b[31m\ud83d") == "a\nb[31m"


def errors(found: str, expected: str) -> float:
    """The share of characters that are wrong, blanks and lines apart."""
    found, expected = " ".join(found.split()), " ".join(expected.split())
    same = sum(
        block.size for block in SequenceMatcher(None, found, expected, autojunk=False).get_matching_blocks()
    )
    return 1 - same / max(len(found), len(expected))


@pytest.mark.usefixtures("ocr")
def test_only_scanned_pages_go_to_ocr_and_are_read_well(hop: Hop, put: Put) -> None:
    pages = [samples.lines(12, seed) for seed in range(3)]
    content = samples.scan(samples.pdf(pages), kept=[2])
    found = read(hop, put("scan.pdf", content))
    assert found.pages_by_ocr == [1, 3]
    first, second, third = found.text.split("\f")
    assert second == "\n".join(pages[1]), "read as text"
    assert errors(first, " ".join(pages[0])) < 0.02
    assert errors(third, " ".join(pages[2])) < 0.02
    assert found.ocr_confidence is not None
    assert found.ocr_confidence > 0.8
    rows = hop.fetch("SELECT page FROM file_page ORDER BY page")
    assert [row["page"] for row in rows] == [1, 3]
    extracted = hop.run("file.extract_text_from_pdf", root="in", way="scan.pdf", last=2).result()
    assert [page.ocr for page in extracted.text] == [True, False]


@pytest.mark.usefixtures("ocr")
def test_a_scan_with_a_printed_number_is_a_scan_and_a_picture_with_its_text_is_none(
    hop: Hop, put: Put
) -> None:
    lines = samples.lines(3)
    scanned = samples.scan(samples.pdf([lines]))
    found = read(hop, put("a.pdf", samples.stamped(scanned, "Archive, page 1")))
    assert found.pages_by_ocr == [1]
    assert found.text.startswith("Archive, page 1\n\n")
    assert errors(found.text.replace("Archive, page 1", ""), " ".join(lines)) < 0.02
    whole = " ".join(samples.lines(3, 7))
    text = read(hop, put("b.pdf", samples.stamped(scanned, whole)))
    assert (text.pages_by_ocr, text.text) == ([], whole)


@pytest.mark.usefixtures("ocr")
def test_a_picture_is_read_by_ocr(hop: Hop, put: Put) -> None:
    import io

    import pypdfium2  # type: ignore[import-untyped]

    document = pypdfium2.PdfDocument(samples.pdf([["The trains leave at noon from Oslo"]]))
    out = io.BytesIO()
    document[0].render(scale=200 / 72).to_pil().save(out, "PNG")
    document.close()
    found = read(hop, put("a.png", out.getvalue()))
    assert found.text == "The trains leave at noon from Oslo"
    assert (found.metadata["width"], found.pages_by_ocr) == (1654, [1])


def test_without_language_data_ocr_names_the_package(
    hop: Hop, put: Put, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    found = read(hop, put("mixed.pdf", samples.scan(samples.pdf([["one"], ["two"]]), kept=[2])))
    assert found.text == "\ftwo"
    assert "page 1 is without text" in found.notes[0]
    assert "apt install tesseract-ocr-eng" in found.notes[0]
    state = hop.fetch("SELECT state FROM file_content")
    assert [row["state"] for row in state] == ["partial"], "it is read again another time"


def test_ocr_can_be_off(put: Put, roots: dict[str, Any], tmp_path: Path) -> None:
    from hopyard_file import File

    settings = {**roots, "plugins.file.settings.documents": {"ocr": False}}
    with Hop(File, folder=tmp_path / "off", settings=settings) as hop:
        found = read(hop, put("scan.pdf", samples.scan(samples.pdf([["one"]]))))
        assert found.notes == ["page 1 is without text: OCR is off"]


def test_the_same_content_is_read_once(hop: Hop, put: Put) -> None:
    content = samples.pdf([["Hello"]])
    assert not read(hop, put("a.pdf", content)).known
    assert read(hop, put("b.pdf", content)).known
    assert read(hop, "a.pdf").known
    changed = read(hop, put("a.pdf", samples.pdf([["Bye"]])))
    assert (changed.known, changed.text) == (False, "Bye")
    rows = hop.fetch("SELECT way, state, sha256 FROM file_document ORDER BY way")
    assert [row["way"] for row in rows] == ["a.pdf", "b.pdf"]
    assert rows[0]["sha256"] == changed.sha256


def test_a_suffix_that_does_not_fit_is_told_also_where_the_content_is_known(hop: Hop, put: Put) -> None:
    content = samples.pdf([["Hello"]])
    told = "it is named .jpg, but its content is pdf (application/pdf)"
    assert read(hop, put("a.jpg", content)).notes == [told]
    assert read(hop, put("a.pdf", content)).notes == []
    assert read(hop, put("b.jpg", content)).notes == [told]


def test_an_uploaded_file_must_be_what_its_name_says(hop: Hop, put: Put) -> None:
    way = put("upload-1", samples.pdf([["Hello"]]))
    upload = "file.process_uploaded_file"
    assert "is named .jpg, but its content is pdf" in refusal(hop, way, upload, name="me.jpg")
    assert "is named .exe" in refusal(hop, way, upload, name="me.PDF.exe")
    assert hop.run(upload, root="in", way=way, name="me.PDF").result().text == "Hello"
    assert "is named .png" in refusal(hop, put("b.png", samples.pdf([["Hello"]])), upload)
    states = hop.fetch("SELECT way, state FROM file_document ORDER BY way")
    assert [(row["way"], row["state"]) for row in states] == [("b.png", "refused"), ("upload-1", "read")]


def test_an_encrypted_pdf_needs_a_password_of_the_settings(
    hop: Hop, put: Put, roots: dict[str, Any], tmp_path: Path
) -> None:
    from hopyard_file import File

    way = put("a.pdf", samples.pdf([["hidden words"]], password="CANARY-open"))
    assert "encrypted with a password: give its password in `documents.passwords`" in refusal(hop, way)
    for password, works in (("CANARY-wrong", False), ("CANARY-open", True)):
        settings = {**roots, "plugins.file.settings.documents": {"passwords": [password]}}
        with Hop(File, folder=tmp_path / password, settings=settings) as other:
            outcome: Any = other.run("file.process_document", root="in", way=way)
            if works:
                assert outcome.result().text == "hidden words"
            else:
                assert "none of `documents.passwords` opens it" in outcome.error["message"]
            tables = ("job_live", "job_history", "file_document", "file_content")
            rows = [row for table in tables for row in other.fetch(f"SELECT * FROM {table}")]
            assert "CANARY" not in repr(rows)


def test_what_is_listed_and_shown(hop: Hop, put: Put) -> None:
    read(hop, put("letters/a.txt", b"text"))
    refusal(hop, put("b.bin", b"MZ" + bytes(100)))
    listed = hop.run("file.list_documents").result()
    assert [(one.way, one.state, one.kind) for one in listed] == [
        ("b.bin", "refused", None),
        ("letters/a.txt", "read", "text"),
    ]
    assert "it is a Windows program" in listed[0].problem
    assert [one.way for one in hop.run("file.list_documents", under="letters/").result()] == ["letters/a.txt"]


@pytest.mark.parametrize(
    "way", ["../x", "a/../b", "/etc/passwd", "a//b", "link", "folder", "pipe", "linked/a.txt"]
)
def test_a_way_leads_to_a_file_below_its_root_and_nowhere_else(
    hop: Hop, folder: Path, tmp_path: Path, way: str
) -> None:
    import os

    (folder / "folder").mkdir()
    (tmp_path / "a.txt").write_text("outside")
    (folder / "link").symlink_to(tmp_path / "a.txt")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    assert "outside" not in refusal(hop, way).replace("leads outside", "")


def test_roots_are_declared(hop: Hop, put: Put) -> None:
    put("a.txt", b"x")
    outcome: Any = hop.run("file.process_document", root="etc", way="passwd")
    assert outcome.error["message"].startswith("root: found 'etc', expected one of: in")
    assert "there is no b.txt in the root `in`" in refusal(hop, "b.txt")
