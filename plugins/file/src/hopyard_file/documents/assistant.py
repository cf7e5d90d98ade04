"""What the ai plugin says of a document, asked by the names of its tasks.

The text goes to it as content, never as instructions, and its tasks offer a model no tool. What comes back is
a model's word about a stranger's text: it is cut to lengths, cleaned, and shown; nothing acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard import Hopyard
from hopyard.errors import HopyardError, JobError, PayloadError, ResultTimeout, TransientError, UnknownTask
from hopyard.storage import derived_id
from pydantic import TypeAdapter

from hopyard_file.parsing.cleaning import storable

if TYPE_CHECKING:
    from hopyard import Job

_LONGEST: Final = 4_000
_MOST: Final = 50
_ANYTHING: Final = TypeAdapter[Any](Any)


class Unanswered(TransientError):
    """There is no answer now; the message says why."""


async def ask(job: Job, name: str, seconds: float, about: str, **arguments: Any) -> Any:
    """Return what a task of another plugin answers, as JSON-like values. Raises `Unanswered`.

    `about` tells this question from others of the job: an attempt that goes on after a crash finds the answer
    of the one before.
    """
    try:
        task = Hopyard.current().task(name)
    except UnknownTask:
        raise Unanswered(f"no enabled plugin has the task {name}: install hopyard-ai") from None
    try:
        handle = await task.options(
            id=derived_id("file.ask", f"{job.id} {name} {about}"), person=job.person
        ).submit(**arguments)
        async with job.release_slot():
            answer = await handle.result(timeout=seconds)
    except ResultTimeout:
        raise Unanswered(f"{name} did not answer within {seconds:g} s") from None
    except PayloadError as error:
        raise Unanswered(f"{name} does not take what it is given: {str(error)[:300]}") from None
    except JobError as error:
        raise Unanswered(f"{name} gave no answer: {str(error)[:300]}") from None
    return _ANYTHING.dump_python(answer, mode="json")


def words(value: Any, longest: int = _LONGEST) -> str:
    """Return an answer's text as it may be kept and shown."""
    return storable(value).replace("\f", " ").strip()[:longest] if isinstance(value, str) else ""


def lines(value: Any) -> list[str]:
    """Return an answer's list of texts as it may be kept and shown."""
    return (
        [found for one in value[:_MOST] if (found := words(one, 500))] if isinstance(value, Sequence) else []
    )


def pairs(entities: Any) -> list[tuple[str, str]]:
    """Return kinds and names of what a text names."""
    given = entities[:_MOST] if isinstance(entities, list) else []
    return [
        (words(one.get("kind"), 60) or "other", name)
        for one in given
        if isinstance(one, Mapping) and (name := words(one.get("name"), 300))
    ]


async def digest(
    job: Job, text: str, categories: Sequence[str], seconds: float, about: str
) -> dict[str, Any]:
    """Return `summary`, `key_points`, `categories`, `entities` of a text. Raises `Unanswered`.

    Only the categories that were given come back, if any were.
    """
    answer = await ask(job, "ai.analyze_content", seconds, about, content=text, categories=list(categories))
    if not isinstance(answer, Mapping):
        raise Unanswered("ai.analyze_content answered in a form that is not known")
    found = lines(answer.get("categories"))
    return {
        "summary": words(answer.get("summary")),
        "key_points": lines(answer.get("key_points")),
        "categories": [one for one in found if not categories or one in categories],
        "entities": pairs(answer.get("entities")),
    }


async def label(job: Job, text: str, labels: Sequence[str], seconds: float, about: str) -> str | None:
    """Return the one of some labels that fits a text, None where none does. Raises `Unanswered`."""
    answer = await ask(job, "ai.classify", seconds, about, text=text, labels=list(labels))
    return answer if isinstance(answer, str) and answer in labels else None


async def consequences(job: Job, text: str, seconds: float, about: str) -> list[str]:
    """Return what follows from a text for who reads it. Raises `Unanswered`."""
    answer = await ask(job, "ai.process_with_llm", seconds, about, content=text, operation="analyze")
    return lines(answer.get("points")) if isinstance(answer, Mapping) else []


def is_installed() -> bool:
    """Say whether any of the ai plugin's tasks is there."""
    for name in ("ai.analyze_content", "ai.classify"):
        try:
            Hopyard.current().task(name)
        except HopyardError:
            continue
        return True
    return False
