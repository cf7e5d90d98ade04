"""A task's arguments and result as types: validated at the call, and again at the worker."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

from hopyard.broker.envelope import named_only
from hopyard.errors import PayloadError
from hopyard.redaction import redact

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError

#: Arguments or a result larger than this, as JSON text, do not belong in a job but behind a reference.
MAX_BYTES: Final = 1_000_000


class Payload:
    """The types of one task, worked out from its function's annotations on first use."""

    def __init__(self, task: str, function: Callable[..., Any], job_type: type) -> None:
        self._task = task
        self._function = function
        self._job_type = job_type

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return typing.get_type_hints(self._function, include_extras=True)

    @cached_property
    def job_parameter(self) -> str | None:
        """The name of the parameter that takes the `Job`, if the function has one."""
        return next((name for name, hint in self._hints.items() if hint is self._job_type), None)

    @cached_property
    def _parameters(self) -> dict[str, inspect.Parameter]:
        found = inspect.signature(self._function).parameters
        return {name: parameter for name, parameter in found.items() if name != self.job_parameter}

    @cached_property
    def _fields(self) -> list[tuple[str, str]]:
        # Fields are numbered and known by alias, so that no parameter can shadow a model's attribute.
        return [(name, f"p{n}") for n, name in enumerate(self._parameters)]

    @cached_property
    def _model(self) -> type[BaseModel]:
        from pydantic import ConfigDict, Field, create_model
        from pydantic.errors import PydanticUserError

        fields: dict[str, Any] = {}
        for name, field in self._fields:
            parameter = self._parameters[name]
            hint = self._hints.get(name, Any)
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[field] = (Annotated[hint, Field(alias=name)], default)
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=False, ser_json_inf_nan="constants")
        try:
            model: type[BaseModel] = create_model(self._task, __config__=config, **fields)
        except PydanticUserError as error:
            raise PayloadError(
                f"{self._task}: a parameter has a type that has no JSON form: {error}"
            ) from None
        return model

    @cached_property
    def _result(self) -> TypeAdapter[Any]:
        from pydantic import TypeAdapter

        return TypeAdapter(self._hints.get("return", Any))

    @cached_property
    def _builtin_result(self) -> bool:
        """Whether a result is made of Python's own types only."""
        return _builtin(self._result.core_schema)

    def named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name. Raises `PayloadError` for too many, or one that is given twice."""
        if not args:
            return kwargs if type(kwargs) is dict else dict(kwargs)
        names = [*self._parameters]
        if len(args) > len(names):
            raise PayloadError(f"{self._task}: {len(args)} arguments given, it takes {len(names)}")
        given = dict(zip(names, args, strict=False))
        twice = given.keys() & kwargs.keys()
        if twice:
            raise PayloadError(f"{self._task}: argument `{min(twice)}` is given twice")
        return given | dict(kwargs)

    def dump(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the arguments by name as JSON text. Raises `PayloadError` naming each fault."""
        model = self._model
        try:
            valid = model.__pydantic_validator__.validate_python(self.named(args, kwargs))
            text = model.__pydantic_serializer__.to_json(valid, by_alias=True, exclude_unset=True)
        except _invalid() as error:
            raise PayloadError(self._explain(error)) from None
        except (_unserializable(), UnicodeError) as error:
            raise PayloadError(f"{self._task}: an argument has no JSON form: {error}") from None
        return text.decode()

    def load(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them. Raises `PayloadError`."""
        # Through JSON text, as its rules apply: a list may become a tuple or a set, a text a date.
        return self._loaded(json.dumps(self.named(args, kwargs)))

    def load_body(self, body: str) -> dict[str, Any]:
        """Return the arguments in a message's body as the function takes them. Raises `PayloadError`."""
        text = named_only(body)
        if text is not None:
            return self._loaded(text)
        args, kwargs, _ = json.loads(body)
        return self.load(tuple(args), kwargs)

    def _loaded(self, text: str) -> dict[str, Any]:
        try:
            values = self._model.__pydantic_validator__.validate_json(text).__dict__
        except _invalid() as error:
            raise PayloadError(self._explain(error)) from None
        return {name: values[field] for name, field in self._fields}

    def dump_result(self, value: Any) -> str:
        """Return a result as JSON text. Raises `PayloadError` if it does not fit the declared type."""
        result = self._result
        try:
            if self._builtin_result and _fits(result, value):
                text = result.serializer.to_json(value).decode()
            else:
                if value is None:
                    result.validate_python(None)  # the serializer takes it for anything
                text = result.serializer.to_json(value, warnings="error").decode()
        except (_unserializable(), ValueError, TypeError) as error:
            raise PayloadError(f"{self._task}: the result does not fit its type: {error}") from None
        return checked(text, f"{self._task}: the result")

    def load_result(self, text: str | None) -> Any:
        """Return a result from JSON text, as the declared type. Raises `PayloadError`."""
        try:
            return None if text is None else self._result.validate_json(text)
        except _invalid() as error:
            raise PayloadError(f"{self._explain(error)}: the result does not fit its type") from None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        schema: dict[str, Any] = self._model.model_json_schema(by_alias=True)
        schema.pop("title", None)
        return schema

    def _explain(self, error: ValidationError) -> str:
        faults = []
        for fault in error.errors(include_url=False):
            where = ".".join(str(part) for part in fault["loc"]) or "arguments"
            found = redact(repr(fault["input"])[:80])
            missing = fault["type"] == "missing"
            faults.append(f"{where}: {fault['msg']}" + ("" if missing else f", found {found}"))
        return f"{self._task}: " + "; ".join(faults)


_BUILTIN: Final = {"int", "float", "str", "bool", "none", "list", "dict", "nullable", "union"}


def _builtin(schema: Any) -> bool:
    """Say whether a core schema, or a part of one, is of types of which strict validation sees all."""
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        return (kind is None or kind in _BUILTIN) and all(_builtin(part) for part in schema.values())
    if isinstance(schema, list | tuple):
        return all(_builtin(part) for part in schema)
    return True


def _fits(result: TypeAdapter[Any], value: Any) -> bool:
    """Say whether the serializer will have nothing to say of a value, for a tenth of what asking it costs."""
    try:
        result.validator.validate_python(value, strict=True)
    except _invalid():
        return False
    return True


# Pydantic is loaded with the first model only; these are called where something was raised, not before.
def _invalid() -> type[ValidationError]:
    from pydantic import ValidationError

    return ValidationError


def _unserializable() -> type[Exception]:
    from pydantic_core import PydanticSerializationError

    return PydanticSerializationError


def checked(text: str, what: str) -> str:
    """Return `text` if a job may carry it; raises `PayloadError` if it is too large."""
    if len(text) > MAX_BYTES // 4 and len(text.encode()) > MAX_BYTES:
        raise PayloadError(
            f"{what} is {len(text.encode()):,} bytes, a job carries at most {MAX_BYTES:,}: "
            "store it elsewhere and pass a reference"
        )
    return text
