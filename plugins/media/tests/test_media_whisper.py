"""The engine whisper: the real faster-whisper with a model of random weights, which hears nonsense."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
import toy_whisper
from hopyard.testing import Hop
from hopyard_media import Media

ROOT = Path(toy_whisper.__file__).parents[1]


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that has faster-whisper, for the child processes; in CI it fails where there is none."""
    given = os.environ.get("HOPYARD_INTERNAL_WHISPER_PYTHON")
    for one in (given, sys.executable, str(ROOT / ".servers" / "bin" / "python")):
        if one and Path(one).exists():
            asked = [one, "-c", "import importlib.util as u; print(bool(u.find_spec('faster_whisper')))"]
            if "True" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout:
                return one
    if os.environ.get("CI") == "true":
        pytest.fail("no Python here has faster-whisper: `make setup-test-servers`")
    pytest.skip("no Python here has faster-whisper")


@pytest.fixture(scope="module")
def model(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the toy model."""
    folder = tmp_path_factory.mktemp("model")
    subprocess.run([python, toy_whisper.__file__, str(folder)], check=True, timeout=100)
    return folder


def test_a_model_on_this_machine_hears(
    tmp_path: Path,
    folder: Path,
    hop_settings: dict[str, Any],
    speech: Path,
    python: str,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(speech / "cards" / "005.wav", folder)
    samples.sound(folder / "still.wav", samples.silence(3))
    monkeypatch.setattr(sys, "executable", python)
    own = {**hop_settings["plugins.media.settings"], "whisper": {"model": str(model)}, "engine": "whisper"}
    own |= {"privacy": True}
    with Hop(Media, folder=tmp_path / "h", settings={"plugins.media.settings": own}) as hop:
        made = hop.run("media.transcribe_audio", root="in", way="005.wav").result()
        assert (made.engine, made.language, made.draft) == ("whisper", "en", False)
        for word in (word for one in made.segments for word in one.words):
            assert 0 <= word.start <= word.end <= 30
            assert 0 <= (word.confidence or 0) <= 1
        assert hop.run("media.transcribe_audio", root="in", way="005.wav").result().known == 1
        still = hop.run("media.transcribe_audio", root="in", way="still.wav").result()
        assert still.segments == [], "nobody speaks: the model is not asked"
        (model / "model.bin").write_bytes(b"x")
        outcome: Any = hop.run("media.transcribe_audio", root="in", way="still.wav")
        assert "the Whisper model cannot be used" in outcome.error["message"]
