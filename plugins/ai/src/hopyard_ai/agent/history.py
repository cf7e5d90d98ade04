"""What an earlier try of a run left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ToolCallPart
    from pydantic_ai.usage import RunUsage


class History:
    """The messages of earlier tries; none for the first."""

    def __init__(self, messages: Sequence[ModelMessage]) -> None:
        self._messages = messages

    def final_text(self) -> str | None:
        """Return the answer, if the messages end with one."""
        from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

        last = self._messages[-1] if self._messages else None
        if not isinstance(last, ModelResponse) or any(isinstance(p, ToolCallPart) for p in last.parts):
            return None
        return "".join(part.content for part in last.parts if isinstance(part, TextPart)) or None

    def open_calls(self) -> set[str]:
        """Return the ids of the calls that have no result yet."""
        return self._calls().keys() - self._results().keys()

    def finished_calls(self) -> dict[str, tuple[ToolCallPart, bool, str]]:
        """Return by id the calls with a result: the call, whether it succeeded, what the model was told."""
        results = self._results()
        return {id_: (call, *results[id_]) for id_, call in self._calls().items() if id_ in results}

    def begun_calls(self) -> dict[str, ToolCallPart]:
        """Return by id the calls that have no result yet."""
        return {id_: call for id_, call in self._calls().items() if id_ in self.open_calls()}

    def usage(self) -> RunUsage:
        """Return what the earlier tries have used, so that limits hold for all of them together."""
        from pydantic_ai.messages import ModelResponse
        from pydantic_ai.usage import RunUsage

        used = RunUsage(tool_calls=len(self._results()))
        for message in self._messages:
            if isinstance(message, ModelResponse):
                used.requests += 1
                used.incr(message.usage)
        return used

    def _calls(self) -> dict[str, ToolCallPart]:
        from pydantic_ai.messages import ToolCallPart

        parts = [part for message in self._messages for part in message.parts]
        return {part.tool_call_id: part for part in parts if isinstance(part, ToolCallPart)}

    def _results(self) -> dict[str, tuple[bool, str]]:
        from pydantic_ai.messages import RetryPromptPart, ToolReturnPart

        found: dict[str, tuple[bool, str]] = {}
        for message in self._messages:
            for part in message.parts:
                if isinstance(part, ToolReturnPart):
                    found[part.tool_call_id] = (part.outcome == "success", part.model_response_str())
                elif isinstance(part, RetryPromptPart):
                    found[part.tool_call_id] = (False, part.model_response())
        return found
