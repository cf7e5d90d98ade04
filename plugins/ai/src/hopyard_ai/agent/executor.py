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

from hopyard_ai.agent.context import INSTRUCTIONS
from hopyard_ai.agent.history import History
from hopyard_ai.agent.providers import classify

if TYPE_CHECKING:
    from pydantic_ai import Agent, RunContext, Tool
    from pydantic_ai.models import Model
    from pydantic_ai.usage import RunUsage

_RESULT_CHARACTERS = 20_000

CallTool = Callable[[str, dict[str, Any], str], Awaitable[Any]]
"""Takes a tool's name, arguments and the call's id; idempotent by id. Raises `HopyardError` on failure."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it. `parameters` is a JSON schema; `approval`: a person must agree."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    approval: bool = False


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
    """A tool call that was made; `result` is what the model was told."""

    id: str
    name: str
    args: dict[str, Any]
    ok: bool
    result: str


@dataclass(slots=True)
class Outcome:
    """How a run ended: with an answer, or waiting for approvals of calls (`pending`)."""

    answer: str
    model: str
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
        self._model = model
        self._tools = tools
        self._call_tool = call_tool
        self._limits = limits
        self._save = save
        self._calls: list[ToolCall] = []

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
            async for node in run:
                # After each answer of the model, before its tools run: their calls have ids from here on.
                if agent.is_call_tools_node(node) or agent.is_end_node(node):
                    await self._save(ModelMessagesTypeAdapter.dump_json(run.all_messages()).decode())
            assert run.result is not None  # noqa: S101 - the loop ends with a result or an exception
            output = run.result.output
            usage = run.result.usage
            all_ = History(run.all_messages())
        if not isinstance(output, DeferredToolRequests):
            return self._outcome(str(output), all_, usage)
        outcome = self._outcome("", all_, usage)
        outcome.pending = [
            ToolCall(call.tool_call_id, self._real_name(call.tool_name), call.args_as_dict(), False, "")
            for call in output.approvals
        ]
        return outcome

    def _outcome(self, answer: str, history: History, usage: RunUsage) -> Outcome:
        earlier = {}
        for id_, (call, ok, text) in history.finished_calls().items():
            name = self._real_name(call.tool_name)
            ok = ok and not text.startswith(f"{name} failed: ")
            earlier[id_] = ToolCall(id_, name, call.args_as_dict(), ok, text)
        return Outcome(
            answer=answer,
            model=self._model.model_name,
            steps=usage.requests,
            tokens=usage.total_tokens,
            cost=getattr(usage, "cost", None),
            calls=[*(earlier | {call.id: call for call in self._calls}).values()],
        )

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

        async def call(context: RunContext[None], **args: Any) -> str:
            return await self._one_call(spec, args, context)

        return Tool.from_schema(
            call, tool_name(spec.name), spec.description, dict(spec.parameters), takes_ctx=True
        )

    async def _one_call(self, spec: ToolSpec, args: dict[str, Any], context: RunContext[None]) -> str:
        from pydantic_ai import ApprovalRequired, ModelRetry

        if spec.approval and not context.tool_call_approved:
            raise ApprovalRequired
        id_ = context.tool_call_id or ""
        try:
            value = await self._call_tool(spec.name, args, id_)
        except (LedgerUnavailable, StaleFence):  # this job's own trouble, not the tool's
            raise
        except (PayloadError, InvalidInput) as error:
            self._calls.append(ToolCall(id_, spec.name, args, False, redact(str(error))))
            raise ModelRetry(
                f"{spec.name} does not take these arguments: {redact(str(error))[:1000]}"
            ) from None
        except HopyardError as error:
            text = f"{spec.name} failed: {redact(str(error))[:1000]}"
            self._calls.append(ToolCall(id_, spec.name, args, False, text))
            return text
        text = redact(json.dumps(value, ensure_ascii=False, default=str))[:_RESULT_CHARACTERS]
        self._calls.append(ToolCall(id_, spec.name, args, True, text))
        return text

    def _real_name(self, safe: str) -> str:
        return next((spec.name for spec in self._tools if tool_name(spec.name) == safe), safe)
