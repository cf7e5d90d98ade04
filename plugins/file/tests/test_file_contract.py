"""The plugin keeps the contract of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from hopyard import health, portal
from hopyard.testing import Hop, PluginContract
from hopyard_file import File

SETTINGS: dict[str, Any] = {
    "plugins.file.settings": {
        # A place that is never there: what happens to files is tested elsewhere.
        "roots": {"in": {"path": "/srv/no-such-place-of-hopyard", "writable": True}},
        "cleanup": {"places": [{"root": "in", "patterns": ["*.tmp"], "hours": 24}]},
    }
}


class TestFile(PluginContract):
    plugin = File
    settings: ClassVar = SETTINGS
    examples: ClassVar = {
        "file.process_uploaded_file": [{"root": "in", "way": "a.pdf", "name": "Letter.pdf"}],
        "file.process_document": [
            {"root": "in", "way": "a.pdf"},
            {"root": "in", "way": "b/c.docx", "digest": False},
        ],
        "file.extract_text_from_pdf": [{"root": "in", "way": "a.pdf", "first": 2, "last": 3}],
        "file.analyze_file_with_ai": [{"root": "in", "way": "a.pdf"}],
        "file.batch_process_files": [{"root": "in"}, {"root": "in", "ways": ["a.pdf"], "ocr": False}],
        "file.unpack_archive": [{"root": "in", "way": "a.zip", "into": "a"}],
        "file.list_documents": [{}, {"root": "in", "limit": 5}],
        "file.cleanup_temp_files": [{}, {"dry_run": True}],
        # Those of backup and cloud storage stand below.
        "file.backup_user_data": [{}, {"source": "docs", "dry_run": True}],
        "file.list_backups": [{}, {"source": "docs"}],
        "file.verify_backups": [{}, {"repository": "main", "share": 0.5}],
        "file.prune_backups": [{}, {"repository": "main", "dry_run": True}],
        "file.sync_cloud_storage": [{}, {"connection": "docs", "dry_run": True, "force": True}],
    }
    left_out: ClassVar = {
        "runs": "no file is there where the contract runs: each task is run on files by the other tests",
    }


def test_tools_that_only_read_say_so_and_others_need_a_persons_word(hop: Hop) -> None:
    reads = {
        *("process_uploaded_file", "process_document", "extract_text_from_pdf", "analyze_file_with_ai"),
        *("list_documents", "list_backups"),
    }
    for name in TestFile.examples:
        tool = hop.hopyard.task(name).tool
        if name.removeprefix("file.") in reads:
            assert tool is not None
            assert tool.read_only
        elif tool is not None and not tool.read_only:
            assert tool.approval


def test_health_names_a_root_that_is_not_there_and_what_is_not_installed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "plugins.file.settings.roots": {"a": {"path": str(folder)}, "b": {"path": str(tmp_path / "gone")}}
    }
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    with Hop(File, folder=tmp_path / "h", settings=settings):
        found = {one.name: one for one in portal_run(health.check_all())}
        assert (found["roots"].ok, found["roots"].detail) == (False, "root `b`: No such file or directory")
        assert not found["documents"].ok
        assert "apt install tesseract-ocr-eng" in found["documents"].detail


def portal_run(work: Any) -> Any:
    """Run something on the loop on which the installation is."""
    return portal.run(work)


def test_reading_needs_no_kreuzberg_but_office_files_do(
    hop: Hop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed without its extra, the plugin reads PDF, HTML, mail and text, and says what it lacks."""
    import file_samples as samples
    from hopyard import sandbox

    hidden = "import sys; sys.modules['kreuzberg'] = None\n"
    monkeypatch.setattr(sandbox, "_START", hidden + sandbox._START)
    for name, content in {
        "a.pdf": samples.pdf([["x"]]),
        "a.eml": samples.mail(),
        "a.docx": samples.docx(),
    }.items():
        (folder / name).write_bytes(content)
    assert hop.run("file.process_document", root="in", way="a.pdf").result().text == "x"
    assert hop.run("file.process_document", root="in", way="a.eml").ok
    outcome: Any = hop.run("file.process_document", root="in", way="a.docx")
    assert "a docx file needs kreuzberg: `pip install 'hopyard-file[office]'`" in outcome.error["message"]
    assert outcome.attempt == 1


def test_what_runs_in_a_child_imports_nothing_of_the_plugin() -> None:
    import ast

    import hopyard_file.parsing

    for file in Path(hopyard_file.parsing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            own = ("hopyard_file.parsing", "hopyard.sandbox.confinement")
            others = [name for name in names if not name.startswith(own)]
            assert not [name for name in others if name.startswith("hopyard")], file
