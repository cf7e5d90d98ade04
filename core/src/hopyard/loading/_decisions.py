"""The questions that are put to plugins, one after the other, until one answers."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from hopyard.loading._callers import DECIDE_SECONDS, Callers
from hopyard.routing import Admission, Route
from hopyard.specs import Effect, Queue, Reconciled, Verdict

logger = logging.getLogger("hopyard.loading")


class Decisions(ABC):
    """What plugins decide. An error, a wrong answer or none in time counts as no answer and is logged."""

    callers: Callers

    @property
    @abstractmethod
    def queues(self) -> Mapping[str, Queue]:
        """Effective queues by name."""

    def decide(self, hook: str, **arguments: Any) -> Any:
        """The first answer that is not None; an error counts as no opinion and is logged."""
        return self._decide(hook, "", object, arguments)

    def classify(self, task: str, error: BaseException) -> Verdict | None:
        """Which category an error is that `task` raised; the plugin that owns the task is asked first."""
        arguments = {"task": task, "error": error}
        verdict: Verdict | None = self._decide("classify_error", task, Verdict, arguments)
        return verdict

    def reconcile(self, effect: Effect) -> Reconciled | None:
        """Whether an effect happened; the plugin that owns the task is asked first."""
        found: Reconciled | None = self._decide(
            "reconcile_effect", effect.task, Reconciled, {"effect": effect}, seconds=None
        )
        return found

    def route(self, task: str, arguments: Mapping[str, Any], person: str | None) -> Route | None:
        """Where a call goes by the plugins' wish. A route to a queue that nobody declares is none."""
        found: Route | None = self._decide(
            "route_task", task, Route, {"task": task, "arguments": arguments, "person": person}
        )
        if found is not None and found.queue is not None and found.queue not in self.queues:
            logger.error("%s is routed to the queue `%s`, which nobody declares", task, found.queue)
            return None
        return found

    def admit(self, task: str, arguments: Mapping[str, Any], person: str | None) -> Admission | None:
        """Whether a call is taken by the plugins' wish."""
        found: Admission | None = self._decide(
            "admit_task", task, Admission, {"task": task, "arguments": arguments, "person": person}
        )
        return found

    def _decide(
        self,
        hook: str,
        task: str,
        answer: type[Any],
        arguments: Mapping[str, Any],
        *,
        seconds: float | None = DECIDE_SECONDS,
    ) -> Any:
        owner = task.partition(".")[0]
        return self.callers.decide(hook, arguments, first=owner, answer=answer, seconds=seconds)
