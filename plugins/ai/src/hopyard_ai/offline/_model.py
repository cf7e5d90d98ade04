"""The offline model: plans calls of the tools on offer, makes them, and writes what they returned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hopyard_ai.offline._answer import Returned, answer, render, value_of, without_tools
from hopyard_ai.offline._clauses import asked
from hopyard_ai.offline._decision import decide, is_decision
from hopyard_ai.offline._extract import extract
from hopyard_ai.offline._plan import Call, completed, plan

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model
    from pydantic_ai.models.function import AgentInfo
    from pydantic_ai.tools import ToolDefinition

NAME = "local:extractive"


def offline_model() -> Model:
    """A model that needs no network and no weights, for any tools and for structured output.

    It knows what stands in the request and in the tools' names, descriptions and schemas, and nothing else.
    """
    from pydantic_ai.models.function import FunctionModel

    return FunctionModel(respond, model_name=NAME)


def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """One step: calls of tools, structured output, or the final text."""
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

    prompt = _prompt(messages)
    returned = _returned(messages)
    tools = {tool.name: tool for tool in info.function_tools}
    request = asked(prompt)
    calls = plan(request, info.function_tools) if tools else []
    made = _made(messages)
    calls = [_completed(call, tools, returned) if call.missing else call for call in calls]
    ready = [call for call in calls if not call.missing and call.key not in made]
    if ready and not _stuck(returned, ready):
        return ModelResponse(parts=[ToolCallPart(call.tool, call.args) for call in ready])
    if info.output_tools and not (info.allow_text_output and not _structured(info)):
        return _output(prompt, info)
    if (schema := _native_schema(info)) is not None:
        return ModelResponse(parts=[TextPart(json.dumps(_fields(prompt, schema)[0], ensure_ascii=False))])
    missing = [(call.tool, call.missing) for call in calls if call.missing]
    text = answer(returned, missing) if returned or missing else without_tools(request.request)
    return ModelResponse(parts=[TextPart(text)])


def _completed(call: Call, tools: Mapping[str, ToolDefinition], returned: Sequence[Returned]) -> Call:
    """The call with what the other tools returned; its own result must not change it once it was made."""
    values = [item.value for item in returned if not item.failed and item.tool != call.tool]
    return completed(call, tools[call.tool], values, "\n".join(render(value) for value in values))


def _prompt(messages: Sequence[ModelMessage]) -> str:
    """The first text of the person's side: later ones are the framework's own feedback."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    for message in messages:
        if isinstance(message, ModelRequest):
            for part in message.parts:
                if isinstance(part, UserPromptPart):
                    items = [part.content] if isinstance(part.content, str) else part.content
                    return "\n".join(item for item in items if isinstance(item, str))
    return ""


def _returned(messages: Sequence[ModelMessage]) -> list[Returned]:
    from pydantic_ai.messages import ToolCallPart, ToolReturnPart

    calls: dict[str, ToolCallPart] = {}
    found: dict[str, Returned] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                calls[part.tool_call_id] = part
            elif isinstance(part, ToolReturnPart):
                args = calls[part.tool_call_id].args_as_dict() if part.tool_call_id in calls else {}
                value = value_of(part.content)
                failed = part.outcome != "success"
                found[part.tool_call_id] = Returned(part.tool_name, args, value, failed)
    return list(found.values())


def _made(messages: Sequence[ModelMessage]) -> set[str]:
    from pydantic_ai.messages import ToolCallPart

    parts = [part for message in messages for part in message.parts if isinstance(part, ToolCallPart)]
    return {Call(part.tool_name, part.args_as_dict()).key for part in parts}


def _stuck(returned: Sequence[Returned], ready: Sequence[Call]) -> bool:
    """Whether each of these tools has failed before: other arguments from the same request would not help."""
    failed = {item.tool for item in returned if item.failed}
    return all(call.tool in failed for call in ready)


def _structured(info: AgentInfo) -> bool:
    return any(is_decision(tool.parameters_json_schema) for tool in info.output_tools)


def _native_schema(info: AgentInfo) -> Mapping[str, Any] | None:
    wanted = info.model_request_parameters.output_object
    return wanted.json_schema if wanted is not None and not info.output_tools else None


def _output(prompt: str, info: AgentInfo) -> ModelResponse:
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart

    tool = info.output_tools[0]
    fields, missing = _fields(prompt, tool.parameters_json_schema)
    if missing:
        listed = ", ".join(missing)
        return ModelResponse(parts=[TextPart(f"The text does not give {listed} for {tool.name}. ({NAME})")])
    return ModelResponse(parts=[ToolCallPart(tool.name, fields)])


def _fields(prompt: str, schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if is_decision(schema):
        return decide(prompt, schema), []
    return extract(asked(prompt).request, schema)
