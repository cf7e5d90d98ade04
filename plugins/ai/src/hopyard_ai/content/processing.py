"""One answer about a text: an operation that is built in, or a template of the operator's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hopyard.errors import InvalidInput

from hopyard_ai.content import extracting, templates
from hopyard_ai.content.asking import HOW_TO, Asker, each, offline_spent, standing_in_line
from hopyard_ai.content.combining import Answer, answer, combined
from hopyard_ai.content.labels import check_labels, quoted
from hopyard_ai.content.texts import checked, framed, pieces
from hopyard_ai.content.values import Operation, Processed
from hopyard_ai.health import settings

if TYPE_CHECKING:
    from hopyard import Job

_TASKS: Final[dict[Operation, str]] = {
    "summarize": "Summarize the text in at most seven sentences. Answer with the summary alone.",
    "analyze": (
        "Say what kind of text this is, what it is about, for whom, with which intention and in which tone; "
        "the points are what follows from it."
    ),
    "categorize": "Say which categories fit the text; the points are the categories. {categories}",
    "extract_insights": (
        "Say what can be learned from the text beyond what it says on its face: the points are insights, "
        "each with what in the text bears it out."
    ),
}
_PART: Final = "The text is part {n} of {all} of a longer one."
_COMBINE: Final = (
    "A longer text was read in parts, with the task below; the answers for the parts follow, in order. Make "
    "of them one answer for the whole text. The task: {task}"
)


@dataclass(frozen=True, slots=True)
class _Task:
    instructions: str
    operation: str
    points: bool
    template: str | None = None
    only: tuple[str, ...] = ()
    """The points are out of these, if any."""

    def wrong(self, found: Answer) -> str | None:
        """Say what is wrong with an answer, if anything."""
        others = [one for one in found.points if self.only and one not in self.only]
        return f"{others[0][:60]!r} is none of the categories" if others else None


async def answer_about(
    job: Job,
    content: str,
    operation: Operation,
    template: str | None,
    variables: Mapping[str, str],
    categories: Sequence[str],
    fresh: bool,
) -> Processed:
    """Return an answer. Raises `InvalidInput` for a wrong text, template or variable; as `Asker.ask`."""
    own = settings()
    text = checked(content, own.content.max_tokens)
    # A version that is put meanwhile is for later jobs: this one goes on with what it began with.
    task = await _task(operation, job.checkpoint.get("template", template), variables, categories)
    if task.template is not None:
        await job.save(template=task.template)
    if own.offline:
        return await asyncio.to_thread(_offline, text, task, categories)  # of a long text it takes a while
    asker, parts = Asker(job, fresh=fresh), pieces(text, own.content.part_tokens)

    async def read(numbered: tuple[int, str]) -> Answer:
        n, part = numbered
        where = _PART.format(n=n, all=len(parts)) if len(parts) > 1 else ""
        told = f"{task.instructions} {where}"
        return await answer(asker, framed(part), told, points=task.points, check=task.wrong)

    async with standing_in_line(job):
        found = await each(read, enumerate(parts, 1), job, "parts read:")
        told = _COMBINE.format(task=task.instructions)
        whole = await combined(asker, found, told, points=task.points, check=task.wrong)
    return Processed(
        text=whole.text,
        points=whole.points,
        operation=task.operation,
        template=task.template,
        parts=len(parts),
        spent=await asker.spent(),
    )


async def _task(
    operation: Operation, template: str | None, variables: Mapping[str, str], categories: Sequence[str]
) -> _Task:
    if template is not None:
        kept = await templates.get(template)
        return _Task(templates.filled(kept, variables), "template", False, f"{kept.name}@{kept.version}")
    if variables:
        raise InvalidInput("variables are for a template: give `template` as well")
    if categories:
        check_labels(categories)
    known = f"They are out of these, as they stand here: {quoted(categories)}."
    told = _TASKS[operation].format(categories=known if categories else "At most five, short.")
    only = tuple(categories) if operation == "categorize" else ()
    return _Task(told, operation, operation != "summarize", only=only)


def _offline(text: str, task: _Task, categories: Sequence[str]) -> Processed:
    if task.template is not None:
        raise InvalidInput(f"the template {task.template}: {HOW_TO}")
    if task.operation == "categorize":
        fitting = [label for label, _ in extracting.fitting(text, categories, 5)]
        points = fitting if categories else extracting.keywords(text, 5)
        told = "Categories by the words of the text."
    elif task.operation == "summarize":
        told, points = " ".join(extracting.telling(text, 5)), []
    else:
        raise InvalidInput(f"{task.operation}: {HOW_TO}")
    return Processed(text=told, points=points, operation=task.operation, spent=offline_spent())
