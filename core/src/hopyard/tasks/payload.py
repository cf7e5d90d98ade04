"""A task's arguments and result as types: validated at the call, and again at the worker."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final

from hopyard.broker.envelope import named_only
from hopyard.checks import MAX_BYTES, checked
from hopyard.errors import PayloadError, PluginError
from hopyard.redaction import MASK, masked, names_secret, redact
from hopyard.tasks import faithful, tagged

if TYPE_CHECKING:
    from pydantic import BaseModel, TypeAdapter, ValidationError

__all__ = ["MAX_BYTES", "Payload", "checked"]

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


#: Values of these types are said whole by their JSON; `faithful` looks at all others.
_SAID_WHOLE: Final = frozenset({int, bool, str, type(None)})


class Payload:
    """The types of one task, worked out from its function's annotations on first use."""

    def __init__(self, task: str, function: Callable[..., Any], job_type: type) -> None:
        self._task = task
        self._function = function
        self._job_type = job_type

    def resolve(self) -> None:
        """Work out all that is worked out on first use, so that what is wrong with the types shows now.

        Raises `PluginError`: an annotation that cannot be resolved, a type without a JSON form or schema, a
        parameter that has no name, a secret, which would be stored as asterisks.
        """
        try:
            unnamed = [p.name for p in self._parameters.values() if p.kind not in _NAMED]
            schemas = [self.schema(), self._result_schema()]
        except (Exception, SystemExit) as error:  # annotations are code: they may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise self._unfit(
                f"its types cannot be used: {redact(reason)[:1000]}",
                "import what annotations name outside of `if TYPE_CHECKING`; take types that pydantic knows",
            ) from error
        if unnamed:
            raise self._unfit(
                f"its parameter `{unnamed[0]}` cannot be given by name",
                "arguments of jobs are named: take no `*args`, `**kwargs` or parameters before a `/`",
            )
        if any(_has_secret(schema) for schema in schemas):
            raise self._unfit(
                "it takes or returns a secret (SecretStr, SecretBytes), which would be stored as asterisks",
                "keep the secret in the plugin's settings, and pass its name or a reference",
            )

    def _unfit(self, reason: str, hint: str) -> PluginError:
        return PluginError(f"task `{self._task}`: {reason}", stage="types", hint=hint)

    def _result_schema(self) -> dict[str, Any]:
        """The JSON schema of the result; empty where it has none, as results need not."""
        from pydantic.errors import PydanticInvalidForJsonSchema

        try:
            return self._result.json_schema(mode="serialization", schema_generator=_quiet_schema())
        except PydanticInvalidForJsonSchema:
            return {}

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

    @cached_property
    def _loose_result(self) -> bool:
        return faithful.loose_keys(self._result.core_schema)

    @cached_property
    def _loose_arguments(self) -> bool:
        return faithful.loose_keys(self._model.__pydantic_core_schema__)

    @property
    def size(self) -> int:
        """How many arguments the task takes, apart from the `Job`."""
        return len(self._parameters)

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
            text = model.__pydantic_serializer__.to_json(valid, by_alias=True, exclude_unset=True).decode()
            faithful.check(text, valid, f"{self._task}: the arguments", keys=self._loose_arguments)
            tagged.check_none(text, f"{self._task}: an argument")
        except _invalid() as error:
            raise PayloadError(self._explain(error)) from None
        except (_unserializable(), ValueError, TypeError, RecursionError) as error:
            raise PayloadError(f"{self._task}: an argument has no JSON form: {error}") from None
        return text

    def load(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them. Raises `PayloadError`."""
        # Through JSON text, as its rules apply: a list may become a tuple or a set, a text a date.
        return self._loaded(json.dumps(self.named(args, kwargs)))

    def load_body(self, body: str) -> dict[str, Any]:
        """Return the arguments in a message's body as the function takes them. Raises `PayloadError`."""
        if tagged.TAG in body:
            args, kwargs, _ = tagged.loads(body)
            return self._loaded_python(self.named(tuple(args), kwargs))
        text = named_only(body)
        if text is not None:
            return self._loaded(text)
        args, kwargs, _ = json.loads(body)
        return self.load(tuple(args), kwargs)

    def _loaded_python(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            values = self._model.__pydantic_validator__.validate_python(arguments).__dict__
        except _invalid() as error:
            raise PayloadError(self._explain(error)) from None
        return {name: values[field] for name, field in self._fields}

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
            if type(value) not in _SAID_WHOLE:
                faithful.check(text, value, f"{self._task}: the result", keys=self._loose_result)
        except (_unserializable(), ValueError, TypeError, RecursionError) as error:
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
        schema: dict[str, Any] = self._model.model_json_schema(schema_generator=_quiet_schema())
        schema.pop("title", None)
        return schema

    def _explain(self, error: ValidationError) -> str:
        faults = []
        for fault in error.errors(include_url=False):
            where = ".".join(str(part) for part in fault["loc"]) or "arguments"
            # Of text that is no JSON nobody knows which part of it is a secret.
            secret = fault["type"] == "json_invalid" or any(names_secret(str(part)) for part in fault["loc"])
            found = MASK if secret else redact(repr(masked(fault["input"]))[:80])
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


def _has_secret(schema: Any) -> bool:
    """Say whether a part of a JSON schema is of pydantic's secrets."""
    if isinstance(schema, Mapping):
        if schema.get("writeOnly") is True and schema.get("format") == "password":
            return True
        return any(_has_secret(part) for part in schema.values())
    return isinstance(schema, list) and any(_has_secret(part) for part in schema)


@cache
def _quiet_schema() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Quiet(GenerateJsonSchema):
        """Leaves out a default that has no JSON form, without a warning: the schema is right without it."""

        def emit_warning(self, kind: Any, detail: str) -> None:
            """Say nothing."""

    return Quiet


# Pydantic is loaded with the first model only; these are called where something was raised, not before.
def _invalid() -> type[ValidationError]:
    from pydantic import ValidationError

    return ValidationError


def _unserializable() -> type[Exception]:
    from pydantic_core import PydanticSerializationError

    return PydanticSerializationError
