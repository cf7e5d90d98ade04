"""What the ai plugin says of what was heard, asked by the names of its tasks.

The text goes to it as content, never as instructions, and its tasks offer a model no tool. What comes back is
a model's word about what a stranger said: it is cut to lengths, cleaned, and shown; nothing acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from hopyard import Hopyard
from hopyard.errors import JobFailed, PayloadError, ResultTimeout, TransientError, UnknownTask
from hopyard.storage import derived_id
from pydantic import TypeAdapter

from hopyard_media.models import Insights
from hopyard_media.sources import settings

if TYPE_CHECKING:
    from hopyard import Job

ANALYZE: Final = "ai.analyze_content"
PROCESS: Final = "ai.process_with_llm"
_LONGEST: Final = 4_000
_MOST: Final = 30
_ANYTHING: Final = TypeAdapter[Any](Any)


class Unanswered(TransientError):
    """There is no answer; the message says why. `later`: there may be one another time."""

    def __init__(self, message: str, *, later: bool = False) -> None:
        super().__init__(message)
        self.later = later


def check_allowed() -> None:
    """Raise `Unanswered` where what is said must not be given to the ai plugin, or there is none."""
    own = settings()
    if own.privacy and not own.ai.local:
        raise Unanswered("`privacy` is set, and `ai.local` does not say that the model is on this machine")
    try:
        Hopyard.current().task(ANALYZE)
    except UnknownTask:
        raise Unanswered(f"no enabled plugin has the task {ANALYZE}: install hopyard-ai") from None


async def ask(job: Job, name: str, seconds: float, **arguments: Any) -> Any:
    """Return what a task of the ai plugin answers, as JSON-like values. Raises `Unanswered`.

    An attempt that goes on after a crash finds the answer of the one before.
    """
    check_allowed()
    try:
        task = Hopyard.current().task(name)
        about = "\0".join(f"{key}={value}" for key, value in sorted(arguments.items()))
        made = task.options(id=derived_id("media.ask", job.id, name, about), person=job.person)
        handle = await made.submit(**arguments)
        async with job.release_slot():
            answer = await handle.result(timeout=seconds)
    except UnknownTask:
        raise Unanswered(f"no enabled plugin has the task {name}: install hopyard-ai") from None
    except ResultTimeout:
        raise Unanswered(f"{name} did not answer within {seconds:g} s", later=True) from None
    except PayloadError as error:
        raise Unanswered(f"{name} does not take what it is given: {str(error)[:300]}") from None
    except JobFailed as error:
        raise Unanswered(f"{name} gave no answer: {str(error)[:300]}") from None
    found = _ANYTHING.dump_python(answer, mode="json")
    if not isinstance(found, Mapping):
        raise Unanswered(f"{name} answered in a form that is not known")
    return found


async def insights_of(job: Job, text: str, seconds: float) -> Insights:
    """Return what is in a text. Raises `Unanswered`."""
    answer = await ask(job, ANALYZE, seconds, content=text[: settings().ai.characters])
    entities = answer.get("entities")
    names = (
        [one.get("name") for one in entities if isinstance(one, Mapping)]
        if isinstance(entities, list)
        else []
    )
    return Insights(
        summary=words(answer.get("summary")),
        key_points=lines(answer.get("key_points")),
        topics=lines(answer.get("categories")),
        entities=lines(names),
        offline=is_offline(answer),
    )


def is_offline(answer: Mapping[str, Any]) -> bool:
    """Say whether an answer was made by rules, without a model."""
    spent = answer.get("spent")
    return isinstance(spent, Mapping) and bool(spent.get("offline"))


def words(value: Any, longest: int = _LONGEST) -> str:
    """Return an answer's text as it may be kept and shown."""
    if not isinstance(value, str):
        return ""
    known = value.encode("utf-8", "replace").decode()
    kept = "".join(one if one.isprintable() or one == "\n" else " " for one in known)
    return kept.strip()[:longest]


def lines(value: Any) -> list[str]:
    """Return an answer's list of texts as it may be kept and shown, each once."""
    given = value[:_MOST] if isinstance(value, Sequence) and not isinstance(value, str) else []
    return list(dict.fromkeys(found for one in given if (found := words(one, 500))))
