"""Names that one of the two sides cannot have, or would take for another, and why."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

#: What our own unfinished downloads are called.
TEMPORARY: Final = ".hopyard-sync-"
_LONGEST_NAME: Final = 255
_LONGEST_PATH: Final = 1_000


def refusal(path: str) -> str | None:
    """Say why a path cannot be on both sides; None if it can."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    if path.startswith("/"):
        return "its name is absolute"
    if len(encoded) > _LONGEST_PATH:
        return f"its path has more than {_LONGEST_PATH} bytes"
    for name in path.split("/"):
        if (reason := _refusal_of_name(name)) is not None:
            return reason
    return None


def _refusal_of_name(name: str) -> str | None:
    if name in ("", ".", ".."):
        return f"a part of its path is {name!r}, which leads elsewhere"
    if any(unicodedata.category(one) in ("Cc", "Zl", "Zp") for one in name):
        return "its name has control characters"
    if "\\" in name:
        return "its name has a backslash, which some systems take for a folder"
    if name != name.rstrip(" .") or name != name.lstrip(" "):
        return "its name begins with a space, or ends with a space or a dot, which some systems drop"
    if len(name.encode()) > _LONGEST_NAME:
        return f"its name has more than {_LONGEST_NAME} bytes"
    if name.startswith(TEMPORARY):
        return "it is called as unfinished downloads are"
    return None


def collisions(paths: Iterable[str], known: Collection[str], *, fold_case: bool) -> dict[str, str]:
    """Return which paths are to be set aside because another stands in their way, and why.

    Of several that are one for systems which do not tell cases or Unicode forms apart, that which was synced
    before stays, or none; and nothing is in a folder that is a file.
    """
    every = set(paths)
    found: dict[str, str] = {}
    groups: dict[str, list[str]] = defaultdict(list)
    for path in every:
        groups[_folded(path, fold_case=fold_case)].append(path)
        above = path
        while "/" in above:
            above = above.rpartition("/")[0]
            if above in every:
                found[path] = f"{above} is a file, and cannot be a folder too"
                break
    for group in groups.values():
        if len(group) > 1:
            found |= _aside(sorted(group), known)
    return found


def _folded(path: str, *, fold_case: bool) -> str:
    form = unicodedata.normalize("NFC", path)
    return form.casefold() if fold_case else form


def _aside(group: list[str], known: Collection[str]) -> dict[str, str]:
    stays = [path for path in group if path in known][:1]
    found = {}
    for path in group:
        if path not in stays:
            other = (stays or [one for one in group if one != path])[0]
            found[path] = f"for many systems it has the same name as {other}"
    return found


def is_below(path: str, folders: Collection[str]) -> bool:
    """Say whether a path is one of these, or below one of them."""
    if not folders:
        return False
    if "" in folders or path in folders:
        return True
    above = path
    while "/" in above:
        above = above.rpartition("/")[0]
        if above in folders:
            return True
    return False


def other_name(path: str, sha256: str, number: int = 1) -> str:
    """Return the name of the other version where both are kept: the same for the same content.

    With a `number` above 1 it is a further name, for where the ones before are taken.
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    mark = f" (other version {sha256[:8]}{f' {number}' if number > 1 else ''})"
    while len(f"{stem}{mark}{dot}{suffix}".encode()) > _LONGEST_NAME and stem:
        stem = stem[:-1]
    return f"{folder}{slash}{stem}{mark}{dot}{suffix}"
