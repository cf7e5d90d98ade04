"""The plugin keeps the contract of plugins, and says of itself how it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hopyard import Hopyard, current, health, portal
from hopyard.testing import Hop, PluginContract
from hopyard_media import Media, MediaSettings
from hopyard_media.commands import COMMANDS
from hopyard_media.settings import Cloud, Limits, Pictures, Questions, Whisper
from hopyard_media.tasks import TASKS

SETTINGS: dict[str, Any] = {
    # A place that is never there: what happens to recordings is tested elsewhere.
    "plugins.media.settings": {"roots": {"in": {"path": "/srv/no-such-place-of-hopyard"}}}
}
README = (Path(__file__).parents[1] / "README.md").read_text()
PAGE = Path(__file__).parents[3] / "docs" / "plugins" / "media.md"


class TestMedia(PluginContract):
    plugin = Media
    settings: ClassVar = SETTINGS
    examples: ClassVar = {
        "media.transcribe_audio": [
            {"root": "in", "way": "a.wav"},
            {"root": "in", "way": "b/c.mp4", "language": "en", "speakers": "channels", "formats": ["srt"]},
        ],
        "media.process_video": [{"root": "in", "way": "a.mp4"}, {"root": "in", "way": "a", "sound": True}],
        "media.enhance_video_with_ai": [{"root": "in", "way": "a.mp4", "fresh": True}],
        "media.batch_transcribe_videos": [{"root": "in"}, {"root": "in", "ways": ["a"], "engine": "local"}],
        "media.list_recordings": [{}, {"root": "in", "limit": 5}],
        "media.show_recording": [{"root": "in", "way": "a.mp4"}],
        "media.forget_old_results": [{}, {"days": 1.5}],
    }
    left_out: ClassVar = {
        "runs": "no file is there where the contract runs: each task is run on files by the other tests",
    }


def test_tools_that_only_read_say_so_and_others_need_a_persons_word(hop: Hop) -> None:
    for task in TASKS:
        tool = hop.hopyard.task(task.name).tool
        if task.name in ("media.list_recordings", "media.show_recording"):
            assert tool is not None
            assert tool.read_only
        elif tool is not None:
            assert tool.approval
            assert not tool.read_only


def test_health_names_what_is_there_and_what_is_not(folder: Path, tmp_path: Path) -> None:
    roots = {"a": {"path": str(folder)}, "b": {"path": str(tmp_path / "gone")}}
    with Hop(Media, folder=tmp_path / "h", settings={"plugins.media.settings.roots": roots}):
        found = {one.name: one for one in portal.run(health.check_all())}
        assert (found["roots"].ok, found["roots"].detail) == (False, "root `b`: No such file or directory")
        assert found["engines"].ok
        assert found["engines"].detail.startswith(
            "ready: local; the configured one is local; what decodes is"
        )


@pytest.mark.parametrize("text", ["readme", "page"])
def test_the_first_example_loads(text: str, tmp_path: Path) -> None:
    source = README if text == "readme" else PAGE.read_text()
    (tmp_path / "hopyard.toml").write_text(re.findall(r"```toml\n(.*?)```", source, re.DOTALL)[0])
    try:
        hopyard = Hopyard.load(config=tmp_path / "hopyard.toml", data=tmp_path / "data")
        assert [one.reason for one in hopyard.plugins.records if one.name == "media"] == [""]
        current.set_instance(hopyard)
        assert Media.current().settings.output == "media"
    finally:
        current.set_instance(None)


def test_every_task_and_command_is_in_the_readme_and_every_setting_on_the_page() -> None:
    rows = set(re.findall(r"^\| `([a-z_.]+)`", README, re.MULTILINE))
    assert {task.name for task in TASKS} <= rows
    for command in COMMANDS:
        assert f"hopyard media {command.name}" in README, command.name
        assert command.help, command.name
    page = PAGE.read_text()
    for model in (MediaSettings, Limits, Pictures, Questions, Cloud, Whisper):
        for name in model.model_fields:
            assert f"| `{name}` |" in page, name
