"""A server of somebody else transcribes, if it may; and with `privacy` nothing leaves the machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media_samples as samples
import pytest
from hopyard.errors import InvalidInput
from hopyard.testing import Hop
from hopyard_media import Media
from hopyard_media.speech import answers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outside_llm import OutsideLLM
from transcription_server import running_transcription

CARD = "005.wav"
KEY = "sk-not-to-be-seen-anywhere"
HEARD = {
    "transcription": {
        "text": "Eight of spades. Hearts!",
        "language": "english",
        "duration": 4.0,
        "words": [
            {"word": word, "start": n * 0.5, "end": n * 0.5 + 0.4}
            for n, word in enumerate(["Eight", "of", "spades", "Hearts"])
        ],
        "segments": [
            {"id": 0, "start": 0.0, "end": 1.4, "text": " Eight of spades.", "no_speech_prob": 0.1},
            {"id": 1, "start": 1.5, "end": 2.0, "text": " Hearts!", "no_speech_prob": 0.1},
        ],
    }
}


def hopyard(tmp_path: Path, roots: dict[str, Any], url: str, **own: Any) -> Hop:
    cloud = {"base_url": url, "api_key": KEY, "model": "whisper-9"}
    settings = {**roots["plugins.media.settings"], "cloud": cloud, **own}
    return Hop(
        Media,
        folder=tmp_path / "cloud",
        settings={"plugins.media.settings": settings, "egress.allow": ["127.0.0.1"]},
    )


def transcribe(hop: Hop, way: str, **arguments: Any) -> Any:
    return hop.run("media.transcribe_audio", root="in", way=way, **arguments)


@pytest.fixture
def server() -> Iterator[OutsideLLM]:
    """It hears the same in every part."""
    with running_transcription([HEARD]) as made:
        yield made


def test_a_server_hears_each_part_and_its_times_are_moved(
    tmp_path: Path, folder: Path, hop_settings: dict[str, Any], server: OutsideLLM
) -> None:
    samples.sound(folder / "a.wav", samples.silence(25))
    with hopyard(tmp_path, hop_settings, server.url, engine="cloud", limits={"part_seconds": 10}) as hop:
        outcome = transcribe(hop, "a.wav", formats=["srt"])
        made = outcome.result()
        assert (made.engine, made.language, made.draft, made.isolated) == ("cloud", "en", False, False)
        # The second part is heard from 5 s on and counts from 10 s on: what was said before is not its own.
        assert made.segments[0].text == "Eight of spades. Hearts!"
        assert [round(one.start, 1) for one in made.segments[0].words] == [0.0, 0.5, 1.0, 1.5]
        assert made.parts == 2
        told = json.dumps(
            [outcome.log, outcome.saved, [*map(str, outcome.progress)], hop.jobs()], default=str
        )
        assert KEY not in told + made.model_dump_json()
        kept = hop.fetch("SELECT sha256, options, step, result FROM media_result")
        assert KEY not in json.dumps([*map(dict, kept)])
    requests = server.journal()
    assert len(requests) == 2
    assert requests[0]["path"] == "/v1/audio/transcriptions"
    assert requests[0]["body"]["model"] == "whisper-9"
    assert requests[0]["headers"]["content-type"].startswith("multipart/form-data")
    assert "authorization" in requests[0]["headers"]
    assert int(requests[0]["headers"]["content-length"]) > 15 * samples.RATE * 2


def test_a_busy_server_is_asked_again_about_what_is_missing(
    tmp_path: Path, folder: Path, hop_settings: dict[str, Any]
) -> None:
    busy = {"error": {"message": "busy"}, "status": 503}
    samples.sound(folder / "a.wav", samples.silence(25))
    with (
        running_transcription([HEARD, busy, HEARD]) as server,
        hopyard(tmp_path, hop_settings, server.url, engine="cloud", limits={"part_seconds": 10}) as hop,
    ):
        outcome = transcribe(hop, "a.wav")
        assert (outcome.result().known, outcome.attempt) == (1, 2)
        assert [one["response"]["status"] for one in server.journal()] == [200, 503, 200]


@pytest.mark.parametrize(("below", "asked"), [(1.0, 1), (0.0, 0)])
def test_hybrid_asks_the_server_about_what_is_unsure(
    tmp_path: Path,
    folder: Path,
    hop_settings: dict[str, Any],
    server: OutsideLLM,
    speech: Path,
    below: float,
    asked: int,
) -> None:
    shutil.copy(speech / "cards" / CARD, folder)
    with hopyard(tmp_path, hop_settings, server.url, engine="hybrid", cloud_below=below) as hop:
        made = transcribe(hop, CARD).result()
        assert made.engine == ("cloud" if asked else "local")
        assert made.draft is not bool(asked)
    assert len(server.journal()) == asked


def test_a_server_that_is_not_allowed_by_the_egress_policy_is_not_asked(
    tmp_path: Path, folder: Path, hop_settings: dict[str, Any], server: OutsideLLM
) -> None:
    samples.sound(folder / "a.wav", samples.silence(1))
    own = {**hop_settings["plugins.media.settings"], "cloud": {"base_url": server.url}, "engine": "cloud"}
    with Hop(Media, folder=tmp_path / "h", settings={"plugins.media.settings": own}) as hop:
        outcome = transcribe(hop, "a.wav")
        assert (outcome.state, outcome.error["kind"]) == ("dead", "EgressRefused")
    assert server.journal() == []


class Listener:
    """Listens on a port and counts who comes."""

    def __init__(self) -> None:
        self.came = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.came += 1
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


def test_privacy_refuses_the_cloud_and_nobody_is_called(
    tmp_path: Path, folder: Path, hop_settings: dict[str, Any], speech: Path
) -> None:
    """Also playlists that name the listener lead nowhere."""
    shutil.copy(speech / "cards" / CARD, folder)
    listener = Listener()
    url = f"http://127.0.0.1:{listener.port}"
    for name, data in (
        ("a.m3u8", samples.playlist(f"{url}/a.ts")),
        ("b.mp4", samples.playlist(f"{url}/a.ts")),
        ("c.mpd", samples.dash(f"{url}/a.mp4")),
        ("d.txt", samples.concat(f"{url}/a.mp4")),
    ):
        (folder / name).write_bytes(data)
    try:
        with hopyard(tmp_path, hop_settings, url, privacy=True) as hop:
            made = transcribe(hop, CARD).result()
            assert made.text
            for engine in ("cloud", "hybrid"):
                outcome = transcribe(hop, CARD, engine=engine)
                assert (outcome.state, outcome.attempt) == ("dead", 1)
                assert "`privacy` is set" in outcome.error["message"]
            for name in ("a.m3u8", "b.mp4", "c.mpd", "d.txt"):
                assert transcribe(hop, name).state == "dead"
            video = hop.run("media.process_video", root="in", way=CARD).result()
            insights = {one.name: one for one in video.stages}["insights"]
            assert (insights.state, "`privacy` is set" in insights.detail) == ("failed", True)
            enhanced: Any = hop.run("media.enhance_video_with_ai", root="in", way=CARD)
            assert "`privacy` is set" in enhanced.error["message"]
        assert listener.came == 0
    finally:
        listener.close()


PRIVATE = """
import sys
from pathlib import Path
from hopyard.testing import Hop
from hopyard_media import Media
folder = Path(sys.argv[1])
own = {"roots": {"in": {"path": str(folder / "in")}}, "privacy": True}
with Hop(Media, folder=folder / "traced", settings={"plugins.media.settings": own}) as hop:
    outcome = hop.run("media.transcribe_audio", root="in", way="005.wav")
    print(outcome.result().text)
"""


def test_privacy_opens_no_socket_to_the_world(tmp_path: Path, folder: Path, speech: Path) -> None:
    """All that the job and its children ask of the kernel, as strace sees it."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    shutil.copy(speech / "cards" / CARD, folder)
    trace = tmp_path / "trace"
    command = [strace, "-f", "-qq", "-e", "trace=socket,connect,sendto,sendmsg", "-o", str(trace)]
    ran = subprocess.run(
        [*command, sys.executable, "-c", PRIVATE, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    if "ptrace" in ran.stderr.lower() and ran.returncode:
        pytest.skip("strace may not look here")
    assert "hearts" in ran.stdout, ran.stderr
    assert [line for line in trace.read_text().splitlines() if "AF_INET" in line] == []


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({"privacy": True, "engine": "cloud"}, "which `privacy` forbids"),
        ({"privacy": True, "engine": "hybrid"}, "which `privacy` forbids"),
        ({"engine": "cloud"}, "expected `cloud`"),
        ({"engine": "whisper"}, "expected `whisper`"),
        ({"output": "in"}, "expected one of `roots` that is `writable`"),
        ({"cloud": {"base_url": "ftp://x"}}, "expected an address"),
        ({"cloud": {"base_url": "https://user:word@x.example/v1"}}, "expected an address"),
        ({"whisper": {"model": "/no/such/place"}}, "expected a directory that is there"),
        ({"limits": {"part_seconds": 1}}, "expected a number of at least 10"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, hop_settings: dict[str, Any], own: dict[str, Any], expected: str
) -> None:
    settings = {"plugins.media.settings": {**hop_settings["plugins.media.settings"], **own}}
    with pytest.raises(Exception, match=expected) as error:
        Hop(Media, folder=tmp_path / "h", settings=settings)
    assert "user:word" not in str(error.value)


def test_the_missing_extra_is_told(
    tmp_path: Path, folder: Path, hop_settings: dict[str, Any], speech: Path
) -> None:
    """It is told what to install; with the extra, that what lies there is no model."""
    shutil.copy(speech / "cards" / CARD, folder)
    (tmp_path / "model").mkdir()
    own = {**hop_settings["plugins.media.settings"], "whisper": {"model": str(tmp_path / "model")}}
    with Hop(Media, folder=tmp_path / "h", settings={"plugins.media.settings": own}) as hop:
        outcome = transcribe(hop, CARD, engine="whisper", language="de")
        assert (outcome.state, outcome.attempt) == ("dead", 1)
        told = outcome.error["message"]
        assert "pip install 'hopyard-media[whisper]'" in told or "the Whisper model cannot be used" in told


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["words", "segments", "text", "word", "start", "end", "probability", "language"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the tables of all characters are made first
@given(st.dictionaries(st.sampled_from(["words", "segments", "text", "language"]), JSON))
def test_any_answer_is_read_or_refused(answer: dict[str, Any]) -> None:
    """Whatever a server answers: times are within the part, texts can be kept."""
    language = answers.language(answer)
    assert language is None or language.isalpha()
    try:
        found = answers.utterances(answer, 100.0, 110.0)
    except InvalidInput:
        return
    for one in found:
        for part in one.get("words", [one]):
            assert 100.0 <= part["start"] <= part["end"] <= 110.0
            part.get("word", part.get("text")).encode()
    json.dumps(found, allow_nan=False)


def test_what_is_made_up_in_silence_is_left_out() -> None:
    made_up = {"start": 0, "end": 2, "text": "Thank you.", "no_speech_prob": 0.9, "avg_logprob": -1.5}
    said = {"start": 2, "end": 3, "text": "Hello.", "no_speech_prob": 0.9, "avg_logprob": -0.2}
    found = answers.utterances({"segments": [made_up, said]}, 0, 10)
    assert [one["text"] for one in found] == ["Hello."]


def test_languages_are_codes() -> None:
    told = [answers.language({"language": one}) for one in ("english", "German", "fr", "klingon", 3)]
    assert told == ["en", "de", "fr", None, None]
