"""How many words are heard wrongly, at what cost: `media.transcribe_audio` beside the recognizers alone.

Each contender runs in a process of its own, over recordings of people whose words are known (Debian's
`pocketsphinx-testdata`, fetched by `make setup-test-servers`). Time and CPU seconds begin when all is
imported: models are loaded within them, by the plugin once for each recording, since each has a child of its
own. `HOPYARD_INTERNAL_WHISPER_MODEL` names the directory of a Whisper model for CTranslate2.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NAME = "speech"
MODEL = os.environ.get("HOPYARD_INTERNAL_WHISPER_MODEL", "")
#: Sets of recordings: sentences of a book, names of cards.
SETS = ("librivox", "cards")
_CONTENDERS = ("media, local", "PocketSphinx", "media, whisper", "faster-whisper")
_MEASURING = 3600

Recordings = Mapping[str, Path]


def report() -> str:
    """Measure all that can be measured here; return a table."""
    samples = _samples()
    if not samples.SPEECH.is_dir():
        return "speech: recordings are not here: `make setup-test-servers` fetches them"
    lines = ["", "### Speech", "", "| | " + " | ".join(_head(samples, one) for one in SETS) + " |"]
    lines.append("| --- |" + " --- |" * len(SETS))
    left = "" if MODEL else "\nWhisper is left out: HOPYARD_INTERNAL_WHISPER_MODEL names no model."
    for contender in _CONTENDERS[: None if MODEL else 2]:
        cells = []
        for one in SETS:
            print(f"speech: {contender}, {one}", file=sys.stderr, flush=True)
            cells.append(_cell(samples, _measured(samples, contender, one), one))
        lines.append(f"| {contender} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + left


def _samples() -> Any:
    sys.path.insert(0, str(ROOT / "tests"))
    import media_samples

    return media_samples


def _head(samples: Any, one: str) -> str:
    said = samples.transcriptions(samples.SPEECH / one)
    words = sum(samples.word_errors(text, "")[1] for text in said.values())
    return f"{one}: {words} words, {len(said)} recordings"


def _recordings(samples: Any, one: str) -> dict[str, Path]:
    folder = samples.SPEECH / one
    return {name: folder / f"{name}.wav" for name in samples.transcriptions(folder)}


def _measured(samples: Any, contender: str, one: str) -> dict[str, Any]:
    from benchmarks import environments

    python = sys.executable if contender.startswith("media") else str(_alone(environments, contender))
    child = str(environments.python("whisper")) if contender == "media, whisper" else sys.executable
    files = {name: str(path) for name, path in _recordings(samples, one).items()}
    command = [python, "-m", "benchmarks.speech", contender, child, json.dumps(files)]
    ran = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=_MEASURING, check=True)
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def _alone(environments: Any, contender: str) -> Path:
    """Return the Python that has a recognizer: PocketSphinx comes with the plugin."""
    found: Path = environments.python("whisper") if contender == "faster-whisper" else Path(sys.executable)
    return found


def _cell(samples: Any, found: Mapping[str, Any], one: str) -> str:
    wrong = said = 0
    for name, text in samples.transcriptions(samples.SPEECH / one).items():
        errors, words = samples.word_errors(text, found["texts"][name])
        wrong, said = wrong + errors, said + words
    return f"{wrong / said:.1%}; {found['wall']:.1f} s; {found['cpu']:.1f} CPU-s"


# --- in the process of one contender


def _media(engine: str, recordings: Recordings, child: str) -> Callable[[], dict[str, str]]:
    from hopyard.testing import Hop
    from hopyard_media import Media

    sys.executable = child  # the children's, who need no Hopyard
    settings: dict[str, Any] = {"engine": engine, "whisper": {"model": MODEL} if MODEL else None}
    folder = next(iter(recordings.values())).parent
    settings["roots"] = {"in": {"path": str(folder)}}

    def work() -> dict[str, str]:
        with tempfile.TemporaryDirectory() as place, Hop(Media, folder=Path(place), settings=given) as hop:
            return {
                name: hop.run("media.transcribe_audio", root="in", way=path.name).result().text
                for name, path in recordings.items()
            }

    given = {"plugins.media.settings": {key: one for key, one in settings.items() if one is not None}}
    return work


def _pocketsphinx(recordings: Recordings) -> Callable[[], dict[str, str]]:
    import wave

    from pocketsphinx import Decoder  # type: ignore[import-untyped]

    def heard(decoder: Any, path: Path) -> str:
        with wave.open(str(path)) as file:
            data = file.readframes(file.getnframes())
        decoder.start_utt()
        decoder.process_raw(data, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        return found.hypstr if found else ""

    def work() -> dict[str, str]:
        decoder = Decoder(samprate=16_000, loglevel="FATAL")
        return {name: heard(decoder, path) for name, path in recordings.items()}

    return work


def _faster_whisper(recordings: Recordings) -> Callable[[], dict[str, str]]:
    from faster_whisper import WhisperModel  # type: ignore[import-not-found]

    def work() -> dict[str, str]:
        model = WhisperModel(MODEL, device="cpu", compute_type="int8", local_files_only=True)
        return {
            name: " ".join(one.text for one in model.transcribe(str(path))[0])
            for name, path in recordings.items()
        }

    return work


def _contender(name: str, child: str, recordings: Recordings) -> Callable[[], dict[str, str]]:
    if name == "PocketSphinx":
        return _pocketsphinx(recordings)
    if name == "faster-whisper":
        return _faster_whisper(recordings)
    return _media(name.rpartition(" ")[2], recordings, child)


def _used() -> float:
    both = (resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def main(name: str, child: str, files: str) -> None:
    """Hear recordings by one contender; print what was heard, the seconds and the CPU seconds."""
    work = _contender(name, child, {key: Path(path) for key, path in json.loads(files).items()})
    begun, used = time.monotonic(), _used()
    texts = work()
    print(json.dumps({"texts": texts, "wall": time.monotonic() - begun, "cpu": _used() - used}))


if __name__ == "__main__":
    main(*sys.argv[1:])
