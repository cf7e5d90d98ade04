"""The plugin's settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hopyard import PluginSettings
from pydantic import Field, SecretStr, ValidationInfo, field_validator


class AISettings(PluginSettings):
    """Which model acts, where it is reached, and how far it may go."""

    model: str = Field(
        "local:extractive",
        description="PROVIDER:MODEL: openai, azure, anthropic, compatible; or local:extractive, offline.",
    )
    evaluator_model: str | None = Field(None, description="Decides whether to act now; `model` unless given.")
    api_key: SecretStr | None = Field(None, validate_default=True)
    base_url: str | None = Field(
        None,
        validate_default=True,
        description="Of Azure, or of an OpenAI-compatible server such as Ollama, vLLM, llama.cpp.",
    )
    api_version: str | None = Field(None, description="Azure only.")
    timeout: float = Field(60.0, gt=0, description="Seconds for one request to the model.")
    max_steps: int = Field(10, gt=0)
    max_tool_calls: int = Field(20, gt=0)
    max_tokens: int = Field(50_000, gt=0)
    max_cost: Decimal | None = Field(
        None, gt=0, description="US dollars for one run, where prices are known."
    )
    max_seconds: float = Field(240.0, gt=0)
    max_postponements: int = Field(20, ge=0)
    tools: tuple[str, ...] = Field(
        ("*",), description="Names or patterns of tasks that may be tools; `!name` takes one out."
    )
    quiet_hours: dict[str, str] = Field(
        default_factory=dict, description="By person, as 22:00-07:00 in their zone."
    )

    @field_validator("model", "evaluator_model")
    @classmethod
    def _known_provider(cls, value: str | None) -> str | None:
        from hopyard_ai.agent.providers import check_name

        return value if value is None else check_name(value)

    @field_validator("api_key", "base_url")
    @classmethod
    def _needed(cls, value: Any, info: ValidationInfo) -> Any:
        from hopyard_ai.agent.providers import needs

        for model in filter(None, (info.data.get("model"), info.data.get("evaluator_model"))):
            if not value and info.field_name in needs(model):
                raise ValueError(f"`{info.field_name}` is set, which the model {model} needs")
        return value

    @field_validator("quiet_hours")
    @classmethod
    def _hours(cls, value: dict[str, str]) -> dict[str, str]:
        from datetime import time

        for hours in value.values():
            begin, dash, end = hours.partition("-")
            try:
                if not dash:
                    raise ValueError
                time.fromisoformat(begin), time.fromisoformat(end)
            except ValueError:
                raise ValueError(f"expected hours as 22:00-07:00, found {hours}") from None
        return value
