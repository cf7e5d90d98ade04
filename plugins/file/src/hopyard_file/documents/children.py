"""Children that read one hostile file each (`hopyard.sandbox`), and the ends that reading comes to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hopyard import sandbox
from hopyard.errors import InvalidInput
from hopyard.sandbox import Limits, Missing

__all__ = ["Missing", "Refusal", "run"]

_PARSING: Final = Path(__file__).parents[1] / "parsing"


class Refusal(InvalidInput):
    """A file that is not read, with the reason; `sha256` and `size` where it was read to its end."""

    def __init__(self, reason: str, sha256: str | None = None, size: int | None = None) -> None:
        self.reason = reason
        self.sha256 = sha256
        self.size = size
        super().__init__(reason)


async def run(
    order: Mapping[str, Any], descriptors: Mapping[str, int], *, seconds: float, most_bytes: int
) -> dict[str, Any]:
    """Have a child do what an order says; return its answer.

    `descriptors` are open files by the name under which the order has them. It is killed after `seconds`, and
    where its answer has more than `most_bytes`; `memory` and `cpu` of the order are its other limits.

    Raises `Refusal` for a file that is not read or takes too much, `Missing`, and `ResourceError` where the
    machine was out of something.
    """
    limits = Limits(memory=order["memory"], cpu=order["cpu"], seconds=seconds, answer=most_bytes)
    try:
        answer: dict[str, Any] = await sandbox.run(_PARSING, order["do"], order, descriptors, limits)
    except sandbox.Refusal as error:
        raise Refusal(str(error)) from None
    if "refused" in answer:
        raise Refusal(answer["refused"], answer["sha256"], answer["size"])
    return answer
