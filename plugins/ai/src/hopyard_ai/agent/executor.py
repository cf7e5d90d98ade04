"""The agent loop: the model calls tools until it has an answer, within limits, resumable at every step."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hopyard import redact, tool_name
from hopyard.errors import (
    HopyardError,
    InvalidInput,
    LedgerUnavailable,
    PayloadError,
    StaleFence,
    TimeLimitExceeded,
)

from hopyard_ai.agent.answers import UNUSABLE, clean, encoded
from hopyard_ai.agent.context import INSTRUCTIONS
from hopyard_ai.agent.history import History
from hopyard_ai.agent.providers import classify

if TYPE_CHECKING:
    from pydantic_ai import Agent, RunContext, Tool
    from pydantic_ai.messages import ModelMessage, ToolCallPart
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

#: The most that one tool's result, and all results of a run, add to the saved conversation, in bytes: a job
#: carries a megabyte, in which the conversation is encoded twice.
_RESULT_BYTES = 60_000
_RESULTS_BYTES = 400_000
_CONVERSATION_BYTES = 900_000

CallTool = Callable[[str, dict[str, Any], str], Awaitable[Any]]
"""Takes a tool's name, arguments and the call's id; idempotent by id. Raises `HopyardError` on failure."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it. `parameters` is a JSON schema; `approval`: a person must agree."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    approval: bool = False
    read_only: bool = False
    effect: str = ""
    """What a call does, such as `changes something`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far one run may go. Cost in US dollars, where the model's prices are known."""

    max_steps: int = 10
    max_tool_calls: int = 20
    max_tokens: int = 50_000
    max_cost: Decimal | None = None
    max_seconds: float = 240.0


@dataclass(slots=True)
class ToolCall:
    """A tool call that was made; `result` is what the model was told. `ok` is None where nobody knows yet."""

    id: str
    name: str
    args: dict[str, Any]
    ok: bool | None
    result: str
    effect: str = ""


@dataclass(slots=True)
class Outcome:
    """How a run ended: with an answer, or waiting for approvals of calls (`pending`)."""

    answer: str
    model: str | None
    steps: int = 0
    tokens: int = 0
    cost: Decimal | None = None
    calls: list[ToolCall] = field(default_factory=list)
    pending: list[ToolCall] = field(default_factory=list)


class Executor:
    """One run of one request."""

    def __init__(
        self,
        model: Model,
        tools: Sequence[ToolSpec],
        call_tool: CallTool,
        *,
        limits: Limits,
        save: Callable[[str], Awaitable[None]],
    ) -> None:
        from hopyard_ai.agent.patience import fit

        self._model = fit(model)
        self._tools = tools
        self._call_tool = call_tool
        self._limits = limits
        self._save = save
        self._calls: list[ToolCall] = []
        self._messages: Callable[[], Sequence[ModelMessage]] = tuple
        self._left = _RESULTS_BYTES

    def so_far(self) -> Outcome:
        """Return what was done until now, whatever ended it; calls whose end is not known are in it too."""
        past = History(self._messages())
        outcome = self._outcome("", past, past.usage())
        known = {call.id for call in outcome.calls}
        outcome.calls += [
            self._call_of(call, None, "") for id_, call in past.begun_calls().items() if id_ not in known
        ]
        return outcome

    async def run(
        self, prompt: str, *, history: str | None = None, approvals: Mapping[str, bool] | None = None
    ) -> Outcome:
        """Run until there is an answer or an approval is needed.

        `history` is what an earlier try saved last: finished steps count and are not repeated. `approvals`
        answers earlier pending calls by their ids. Raises `InvalidInput` at a limit, `TimeLimitExceeded`, and
        the task errors of the model.
        """
        try:
            async with asyncio.timeout(self._limits.max_seconds):
                return await self._run(prompt, history, approvals)
        except TimeoutError:
            raise TimeLimitExceeded(f"no answer within {self._limits.max_seconds:g} s") from None
        except HopyardError:
            raise
        except Exception as error:
            known = classify(error)
            if known is None:
                raise
            raise known from error

    async def _run(self, prompt: str, history: str | None, approvals: Mapping[str, bool] | None) -> Outcome:
        from pydantic_ai import DeferredToolRequests, DeferredToolResults, ToolDenied
        from pydantic_ai.messages import ModelMessagesTypeAdapter
        from pydantic_ai.usage import UsageLimits

        limits = UsageLimits(
            request_limit=self._limits.max_steps,
            tool_calls_limit=self._limits.max_tool_calls,
            total_tokens_limit=self._limits.max_tokens,
            cost_limit=self._limits.max_cost,
        )
        messages = ModelMessagesTypeAdapter.validate_json(history) if history else None
        past = History(messages or [])
        self._messages = lambda: messages or ()
        self._left -= sum(_size(text) for _, _, text in past.finished_calls().values())
        if (final := past.final_text()) is not None:  # the earlier try ended right behind its last answer
            return self._outcome(final, past, past.usage())
        results = None
        agreed = {id_: yes for id_, yes in (approvals or {}).items() if id_ in past.open_calls()}
        if agreed:
            denied = ToolDenied("The person did not agree to this call.")
            results = DeferredToolResults(approvals={id_: yes or denied for id_, yes in agreed.items()})
        agent = self._agent()
        async with agent.iter(
            None if history else prompt,
            message_history=messages,
            deferred_tool_results=results,
            usage_limits=limits,
            usage=past.usage(),
        ) as run:
            self._messages = run.all_messages
            async for node in run:
                # After each answer of the model, before its tools run: their calls have ids from here on.
                if agent.is_call_tools_node(node) or agent.is_end_node(node):
                    await self._save(_saved(ModelMessagesTypeAdapter.dump_json(run.all_messages()).decode()))
            assert run.result is not None  # noqa: S101 - the loop ends with a result or an exception
            output = run.result.output
            usage = run.result.usage
            all_ = History(run.all_messages())
        if not isinstance(output, DeferredToolRequests):
            return self._outcome(str(output), all_, usage)
        outcome = self._outcome("", all_, usage)
        outcome.pending = [self._call_of(call, None, "") for call in output.approvals]
        return outcome

    def _outcome(self, answer: str, history: History, usage: RunUsage) -> Outcome:
        earlier = {}
        for id_, (call, ok, text) in history.finished_calls().items():
            failed = text.startswith(f"{self._real_name(call.tool_name)} failed: ")
            earlier[id_] = self._call_of(call, ok and not failed, text)
        return Outcome(
            answer=answer,
            model=self._model.model_name,
            steps=usage.requests,
            tokens=usage.total_tokens,
            cost=getattr(usage, "cost", None),
            calls=[*(earlier | {call.id: call for call in self._calls}).values()],
        )

    def _call_of(self, call: ToolCallPart, ok: bool | None, text: str) -> ToolCall:
        name = self._real_name(call.tool_name)
        effect = next((spec.effect for spec in self._tools if spec.name == name), "")
        return ToolCall(call.tool_call_id, name, call.args_as_dict(), ok, text, effect)

    def _agent(self) -> Agent[None, Any]:
        from pydantic_ai import Agent, DeferredToolRequests

        return Agent(
            self._model,
            output_type=[str, DeferredToolRequests],
            instructions=INSTRUCTIONS,
            tools=[self._tool(spec) for spec in self._tools],
            retries=2,
        )

    def _tool(self, spec: ToolSpec) -> Tool[None]:
        from pydantic_ai import Tool

        async def call(context: RunContext[None], /, **args: Any) -> str:
            return await self._one_call(spec, args, context)

        told = f"{spec.description}\n\nThis tool {spec.effect}." if spec.effect else spec.description
        tool = Tool.from_schema(call, tool_name(spec.name), told, dict(spec.parameters), takes_ctx=True)
        tool.metadata = {"name": spec.name, "description": spec.description, "read_only": spec.read_only}
        return tool

    async def _one_call(self, spec: ToolSpec, args: dict[str, Any], context: RunContext[None]) -> str:
        from pydantic_ai import ApprovalRequired, ModelRetry

        if UNUSABLE in args:
            raise ModelRetry(f"{spec.name} was not called: {args[UNUSABLE]}")
        if spec.approval and not context.tool_call_approved:
            raise ApprovalRequired
        id_ = context.tool_call_id or ""
        try:
            value = await self._call_tool(spec.name, args, id_)
        except (LedgerUnavailable, StaleFence):  # this job's own trouble, not the tool's
            raise
        except (PayloadError, InvalidInput) as error:
            text = clean(redact(str(error)))[:1000]
            self._note(id_, spec, args, False, text)
            raise ModelRetry(f"{spec.name} does not take these arguments: {text}") from None
        except HopyardError as error:
            text = f"{spec.name} failed: {clean(redact(str(error)))[:1000]}"
            return self._note(id_, spec, args, False, text)
        try:
            text = self._shortened(encoded(value))
        except Exception as error:  # noqa: BLE001 - what a plugin returned may do anything when it is encoded
            text = f"{spec.name} failed: what it returned is no JSON ({type(error).__name__})"
            return self._note(id_, spec, args, False, text)
        return self._note(id_, spec, args, True, text)

    def _note(self, id_: str, spec: ToolSpec, args: dict[str, Any], ok: bool, text: str) -> str:
        self._calls.append(ToolCall(id_, spec.name, args, ok, text, spec.effect))
        return text

    def _shortened(self, text: str) -> str:
        """Return a result that fits what this run may still keep of results."""
        most = max(200, min(_RESULT_BYTES, self._left))
        if _size(text) > most:
            text = text[: len(text) * most // _size(text)]
            while _size(text) > most:
                text = text[: len(text) * 9 // 10]
            text += " … [cut off: the result is longer than a request may keep]"
        self._left -= _size(text)
        return text

    def _real_name(self, safe: str) -> str:
        return next((spec.name for spec in self._tools if tool_name(spec.name) == safe), safe)


def _size(text: str) -> int:
    """Return how many bytes a text takes in a conversation that a job carries."""
    return len(json.dumps(json.dumps(text, ensure_ascii=False), ensure_ascii=False).encode())


def _saved(messages: str) -> str:
    if len(json.dumps(messages, ensure_ascii=False).encode()) > _CONVERSATION_BYTES:
        raise InvalidInput(
            "the request needs more than its limits allow: its conversation has grown too long"
        )
    return messages
