"""The child's side of a sandbox: it limits itself, does what it is told, and says what came of it.

This module imports nothing but the standard library, so that a child has neither the rest of Hopyard nor
its settings in it. Descriptor 0 has the order as JSON; descriptor 1 takes the answer; what libraries print
goes to descriptor 2.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["Missing", "Refused", "main", "seal"]

_KILL_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


class Refused(Exception):
    """The file is not read: the message says what is wrong with it, and what was expected.

    `kind` is a word for the parent, where it treats refusals differently.
    """

    def __init__(self, reason: str, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind


class Missing(Exception):
    """Something is not installed here that this file needs: the message names it."""


def main() -> None:
    """Do what the order says, and end."""
    order = json.load(sys.stdin)
    with os.fdopen(os.dup(1), "wb") as answer:
        os.dup2(2, 1)
        isolated = _confine(order["limits"])
        answer.write(json.dumps({**_answered(order), "isolated": isolated}).encode())


def seal(most_bytes: int, *libraries: str) -> None:
    """Import libraries, whose compiled form Python may have to write first, and then let no more be written.

    No file may grow beyond `most_bytes` from here on. A library that is not there is missed by what needs it.
    """
    for name in libraries:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # EFBIG instead, which is an error like others
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def _confine(limits: dict[str, Any]) -> bool:
    """Limit this process; return whether it is cut off from the network, which not every kernel allows."""
    memory, cpu = limits["memory"], limits["cpu"]
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # The soft limit ends it with SIGXCPU, by which the parent knows; the hard one with SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_KILL_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.getppid() != limits["parent"]:
        os._exit(1)  # it died before it could take us along
    return bool(libc.unshare(_NEW_NETWORK) == 0 or libc.unshare(_NEW_USER | _NEW_NETWORK) == 0)


def _answered(order: dict[str, Any]) -> dict[str, Any]:
    try:
        package = _loaded(Path(order["package"]))
        operations = importlib.import_module(f"{package.__name__}.child").OPERATIONS
        return {"answer": operations[order["do"]](order["order"])}
    except Refused as error:
        return {"refused": str(error), "kind": error.kind}
    except Missing as error:
        return {"missing": str(error)}
    except MemoryError:
        return {"broken": f"it needs more than {order['limits']['memory'] // 2**20:,} MB of memory"}
    except RecursionError:
        return {"refused": "it is nested too deeply"}
    except OSError as error:
        return {"resource": f"{type(error).__name__}: {error.strerror or error}"}


def _loaded(place: Path) -> ModuleType:
    """Load a package under its whole name; of what it lies in nothing is run: empty packages stand there."""
    names = [place.name]
    above = place.parent
    while (above / "__init__.py").is_file():
        names.insert(0, above.name)
        above = above.parent
    for n in range(1, len(names)):
        stand_in = ModuleType(".".join(names[:n]))
        stand_in.__path__ = [str(above.joinpath(*names[:n]))]
        sys.modules[stand_in.__name__] = stand_in
    if len(names) == 1:
        sys.path.insert(0, str(above))
    return importlib.import_module(".".join(names))
