"""The offline model: decides, calls what is plainly asked for, and tells what came back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hopyard_ai.offline._answer import Returned, answer, needs_a_model, value_of
from hopyard_ai.offline._decision import decide, is_decision
from hopyard_ai.offline._matching import plan
from hopyard_ai.offline._request import asked, without_holds

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.models.function import AgentInfo

NAME = "local:extractive"


def offline_model() -> Model:
    """Return a model that needs no network and no weights.

    It calls tools that only read where a request plainly means them, other tools only where they are named
    in full, and says that a model is needed for everything else.
    """
    from pydantic_ai.models.function import FunctionModel

    return FunctionModel(respond, model_name=NAME)


def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Return one step: a decision, calls of tools, or the final text."""
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

    prompt = _prompt(messages)
    wanted = info.model_request_parameters.output_object
    for tool in info.output_tools:
        if is_decision(tool.parameters_json_schema):
            return ModelResponse(parts=[ToolCallPart(tool.name, decide(prompt, tool.parameters_json_schema))])
    if wanted is not None and is_decision(wanted.json_schema):
        return ModelResponse(parts=[TextPart(json.dumps(decide(prompt, wanted.json_schema)))])
    request = without_holds(asked(prompt).request)
    calls, unclear = plan(request, info.function_tools)
    returned = _returned(messages)
    if returned:
        return ModelResponse(parts=[TextPart(answer(request, returned, unclear))])
    if calls:
        return ModelResponse(parts=[ToolCallPart(call.tool, call.args) for call in calls])
    return ModelResponse(parts=[TextPart(needs_a_model([request]))])


def _prompt(messages: Sequence[ModelMessage]) -> str:
    """Return the first text of the person's side: later ones are the framework's own feedback."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    for message in messages:
        if isinstance(message, ModelRequest):
            for part in message.parts:
                if isinstance(part, UserPromptPart):
                    items = [part.content] if isinstance(part.content, str) else part.content
                    return "\n".join(item for item in items if isinstance(item, str))
    return ""


def _returned(messages: Sequence[ModelMessage]) -> list[Returned]:
    from pydantic_ai.messages import RetryPromptPart, ToolReturnPart

    found: dict[str, Returned] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                found[part.tool_call_id] = Returned(part.tool_name, value_of(part.content), part.outcome)
            elif isinstance(part, RetryPromptPart) and part.tool_name:
                told: Any = part.content if isinstance(part.content, str) else "its arguments are wrong"
                found[part.tool_call_id] = Returned(part.tool_name, told, "failed")
    return list(found.values())
