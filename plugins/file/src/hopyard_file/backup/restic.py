"""The engine `restic`: the program of that name, where it is installed (https://restic.net).

Password and credentials go through the environment, names of sources through tags. What it says is read as
JSON lines. Known to work with 0.14 and later.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from hopyard import redact, trees
from hopyard.errors import InvalidInput, ResourceError, TransientError

from hopyard_file.backup.engine.manifest import Snapshot
from hopyard_file.backup.engine.outcomes import Outcome, Restored, Source, Wish
from hopyard_file.backup.engine.pruning import Pruned
from hopyard_file.backup.engine.retention import Keep
from hopyard_file.backup.engine.telling import Tell
from hopyard_file.backup.engine.verifying import Checked
from hopyard_file.backup.settings import RepositorySettings

_TAG: Final = "hopyard-source-"
_INCOMPLETE: Final = 3
_LONGEST_LINE: Final = 1 << 20
_MOST_OUTPUT: Final = 64 << 20


@dataclass(frozen=True)
class ResticEngine:
    """A repository of restic."""

    program: str
    environment: dict[str, str]

    @classmethod
    async def of(cls, own: RepositorySettings) -> ResticEngine:
        """Return the engine of a repository. Raises `InvalidInput` where restic is not installed."""
        program = shutil.which("restic")
        if program is None:
            raise InvalidInput('engine = "restic": found no program `restic` on the PATH')
        environment = {"PATH": os.environ.get("PATH", os.defpath), "RESTIC_PROGRESS_FPS": "2"}
        if own.password is not None:
            environment["RESTIC_PASSWORD"] = own.password.get_secret_value()
        if own.directory is not None:
            environment["RESTIC_REPOSITORY"] = own.directory
        elif own.store is not None and own.store.kind == "s3":
            from hopyard_file.cloud.stores import judge

            await judge(own.store.address())
            where = "/".join(part for part in (own.store.bucket, own.store.prefix) if part)
            environment["RESTIC_REPOSITORY"] = f"s3:{own.store.address()}/{where}"
            if own.store.access_key is not None and own.store.secret_key is not None:
                environment["AWS_ACCESS_KEY_ID"] = own.store.access_key.get_secret_value()
                environment["AWS_SECRET_ACCESS_KEY"] = own.store.secret_key.get_secret_value()
        return cls(program, environment)

    def back_up(self, source: Source, share: float, tell: Tell) -> tuple[Outcome, Checked | None]:
        """Back a source up."""
        self._make_repository()
        outcome = self._backup(source, tell, [])
        return outcome, self.verify(share, tell) if share else None

    def preview(self, source: Source, tell: Tell) -> Outcome:
        """Return what a backup would store."""
        return self._backup(source, tell, ["--dry-run"])

    def _backup(self, source: Source, tell: Tell, more: Sequence[str]) -> Outcome:
        outcome = Outcome(source.name)

        def line(found: dict[str, Any]) -> None:
            kind = found.get("message_type")
            if kind == "status":
                tell(
                    _int(found, "files_done"),
                    _int(found, "bytes_done"),
                    _int(found, "total_files"),
                    _int(found, "total_bytes"),
                    source.name,
                )
            elif kind == "error":
                error = found.get("error")
                said = error.get("message", error) if isinstance(error, dict) else error
                outcome.note(str(found.get("item", "")), str(said)[:500])
            elif kind == "summary":
                _summarize(outcome, found)

        excludes = [word for pattern in source.patterns.excluded for word in ("--exclude", pattern)]
        arguments = ["backup", "--json", "--one-file-system", "--tag", f"{_TAG}{source.name}", *more]
        descriptor = trees.open_directory(source.root)
        try:
            self._run([*arguments, *excludes, "."], line, fine=(0, _INCOMPLETE), folder=descriptor)
        finally:
            os.close(descriptor)
        return outcome

    def snapshots(self, source: str | None) -> tuple[list[Snapshot], dict[str, str]]:
        """Return the snapshots; restic says nothing of those that cannot be read."""
        tag = ["--tag", f"{_TAG}{source}"] if source else []
        found = self._document(["snapshots", "--json", "--no-lock", *tag])
        return sorted((_snapshot(one) for one in found), key=Snapshot.age), {}

    def verify(self, share: float, tell: Tell) -> Checked:
        """Read a share of the repository back; restic does not say which files damage concerns."""
        checked = Checked()
        tell(0, 0, 0, 0, "restic check")
        subset = "--read-data" if share >= 1 else f"--read-data-subset={max(1, round(100 * share))}%"
        try:
            self._run(["check", "-q", subset], lambda _: None, tell=tell)
        except InvalidInput as error:
            checked.wrong.append(str(error))
        return checked

    def prune(
        self, keep: Keep, zone: tzinfo, damaged: Collection[str], tell: Tell, *, dry_run: bool
    ) -> Pruned:
        """Remove what is past its retention; restic counts days in the zone of the process."""
        tell(0, 0, 0, 0, "restic forget")
        numbers = (
            ("last", max(1, keep.last)),
            ("daily", keep.daily),
            ("weekly", keep.weekly),
            ("monthly", keep.monthly),
            ("yearly", keep.yearly),
        )
        words = [word for kind, number in numbers if number for word in (f"--keep-{kind}", str(number))]
        end = ["--dry-run"] if dry_run else ["--prune"]
        found = self._document(["forget", "--json", "--group-by", "tags", *words, *end])
        pruned = Pruned()
        for group in found:
            pruned.kept |= {one["short_id"]: ["its rules"] for one in group.get("keep") or ()}
            pruned.removed += [one["short_id"] for one in group.get("remove") or ()]
        return pruned

    def restore(self, snapshot: Snapshot, target: str, wish: Wish, tell: Tell) -> Restored:
        """Restore files into a directory that is empty, unless `replace` is said."""
        if wish.dry_run:
            raise InvalidInput("restic cannot say what it would restore: leave out --dry-run")
        if os.path.exists(target) and os.listdir(target) and wish.existing == "keep":
            raise InvalidInput(f"{target} is not empty, and restic writes over what is there: say --replace")
        tell(0, 0, 0, 0, "restic restore")
        includes = [word for path in wish.paths for word in ("--include", f"/{glob.escape(path)}")]
        self._run(["restore", snapshot.id, "--target", target, *includes], lambda _: None, tell=tell)
        restored = Restored()
        for folder, _, names in os.walk(target):  # restic 0.14 does not say how many
            restored.files += len(names)
            restored.bytes += sum(os.lstat(os.path.join(folder, name)).st_size for name in names)
        return restored

    def _make_repository(self) -> None:
        with suppress(InvalidInput):
            self._run(["unlock", "-q"], lambda _: None)  # the locks of processes that are gone
            self._run(["cat", "config", "--no-lock"], lambda _: None)
            return
        self._run(["init", "-q"], lambda _: None)

    def _document(self, arguments: Sequence[str]) -> list[Any]:
        """Run restic, and return the one JSON document that it writes."""
        text: list[str] = []
        self._run(arguments, lambda _: None, text=text)
        for line in text:
            with suppress(ValueError):
                found = json.loads(line)
                if isinstance(found, list):
                    return found
        return []

    def _run(
        self,
        arguments: Sequence[str],
        line: Callable[[dict[str, Any]], None],
        *,
        tell: Tell | None = None,
        text: list[str] | None = None,
        fine: Collection[int] = (0,),
        folder: int | None = None,
    ) -> None:
        last: deque[str] = deque(maxlen=5)
        with self._started([*arguments, "--no-cache"], folder) as process:
            for raw in _lines(process):
                if text is not None:
                    text.append(raw)
                if tell is not None:
                    tell(0, 0, 0, 0, raw[:200])
                if not _json_line(raw, line):
                    last.append(raw[:500])
        code = process.returncode
        if code not in fine:
            raise _failure(code, " ".join(last))

    @contextmanager
    def _started(self, arguments: Sequence[str], folder: int | None) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [self.program, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/" if folder is None else f"/proc/self/fd/{folder}",
            pass_fds=() if folder is None else (folder,),
        )
        try:
            yield process
            process.wait()
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    read = 0
    while raw := process.stdout.readline(_MOST_OUTPUT):
        read += len(raw)
        if read > 16 * _MOST_OUTPUT:
            raise ResourceError("restic says more than a gigabyte")
        yield raw.decode(errors="replace").rstrip("\n")


def _json_line(raw: str, line: Callable[[dict[str, Any]], None]) -> bool:
    if not raw.startswith("{") or len(raw) > _LONGEST_LINE:
        return False
    try:
        found = json.loads(raw)
    except ValueError:
        return False
    line(found)
    return True


def _failure(code: int, said: str) -> Exception:
    text = f"restic ended with {code}: {redact(said)[:1000]}"
    if "already locked" in said or "connection" in said.lower():
        return TransientError(text)
    return InvalidInput(text)


def _summarize(outcome: Outcome, found: dict[str, Any]) -> None:
    outcome.new = _int(found, "files_new")
    outcome.changed = _int(found, "files_changed")
    outcome.unchanged = _int(found, "files_unmodified")
    outcome.files = _int(found, "total_files_processed")
    outcome.bytes = outcome.read_bytes = _int(found, "total_bytes_processed")
    outcome.stored_bytes = _int(found, "data_added")
    outcome.snapshot = str(found.get("snapshot_id") or "") or None


def _snapshot(found: dict[str, Any]) -> Snapshot:
    tags = [tag for tag in found.get("tags") or () if tag.startswith(_TAG)]
    started = datetime.fromisoformat(_to_microseconds(str(found["time"]))).astimezone(UTC)
    return Snapshot(
        id=str(found["short_id"]),
        source=tags[0].removeprefix(_TAG) if tags else "",
        host=str(found.get("hostname", "")),
        root=str((found.get("paths") or [""])[0]),
        started=started,
        finished=started,
        files=0,
        folders=0,
        links=0,
        size=0,
        left_out=0,
        stored=0,
        parts=(),
    )


def _to_microseconds(text: str) -> str:
    """Return a time of Go's, which has nanoseconds, as Python reads it."""
    head, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}" if dot else text


def _int(found: dict[str, Any], name: str) -> int:
    value = found.get(name, 0)
    return int(value) if isinstance(value, int | float) else 0
