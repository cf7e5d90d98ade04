"""The plugin's settings."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final, Literal

from hopyard import PluginSettings
from hopyard.fields import BaseUrl
from pydantic import Field, SecretStr, ValidationInfo, field_validator

from hopyard_ai.content.settings import ContentSettings, EmbeddingSettings, Fallback, Price

#: What a person may use where the settings do not say and a model costs money.
_YEAR: Final = 366 * 86_400.0
_LEAST_INTERVAL: Final = 60.0
_DAILY_RUNS: Final = 500


class AISettings(PluginSettings):
    """Which model acts, where it is reached, and how far it may go."""

    model: str = Field(
        "local:extractive",
        description="PROVIDER:MODEL: openai, azure, anthropic, compatible; or local:extractive, offline.",
    )
    evaluator_model: str | None = Field(None, description="Decides whether to act now; `model` unless given.")
    api_key: SecretStr | None = Field(None, validate_default=True, description="Of the model's provider.")
    base_url: BaseUrl | None = Field(
        None,
        validate_default=True,
        description="Of Azure, or of an OpenAI-compatible server such as Ollama, vLLM, llama.cpp.",
    )
    api_version: str | None = Field(None, description="Azure only.")
    timeout: float = Field(60.0, gt=0, le=3600, description="Seconds for one request to the model.")
    fallbacks: tuple[Fallback, ...] = Field(
        (), max_length=8, description="Models that are asked in turn where `model` does not answer."
    )
    requests_per_minute: float | None = Field(
        None, gt=0, description="Requests to each model, of all workers together."
    )
    tokens_per_minute: float | None = Field(
        None, gt=0, description="Tokens of each model, of all workers together."
    )
    prices: dict[str, Price] = Field(
        default_factory=dict, description="By model, where they are not known or are others."
    )
    content: ContentSettings = Field(ContentSettings(), description="How texts are read.")
    embeddings: EmbeddingSettings = Field(
        EmbeddingSettings(), description="Which model makes vectors of texts."
    )
    max_steps: int = Field(10, gt=0, description="Answers of the model in one run.")
    max_tool_calls: int = Field(20, gt=0, description="Calls of tools in one run.")
    max_tokens: int = Field(50_000, gt=0, description="Tokens of one run.")
    max_cost: Decimal | None = Field(
        None, gt=0, description="US dollars for one run, where prices are known."
    )
    max_seconds: float = Field(240.0, gt=0, le=86_400, description="Seconds of one run.")
    max_postponements: int = Field(20, ge=0, description="How often a run may be put off.")
    longest_postponement: float = Field(
        7 * 86_400.0, gt=0, le=_YEAR, description="Seconds; a decision to wait longer is cut to it, and told."
    )
    tools: tuple[str, ...] = Field(
        ("*",), description="Names or patterns of tasks that may be tools; `!name` takes one out."
    )
    approval: Literal["marked", "changes", "all"] = Field(
        "marked",
        description="Which calls a person must agree to: those of tools that are marked so, of all tools "
        "that may change something, or all.",
    )
    approval_expires: float = Field(
        86_400.0, gt=0, le=_YEAR, description="Seconds in which a person can agree."
    )
    confirm_expires: float = Field(
        86_400.0, gt=0, le=_YEAR, description="Seconds in which a person can confirm what a model has read."
    )
    least_interval: float | None = Field(
        None,
        gt=0,
        le=_YEAR,
        description="Least seconds between two due times; 60 unless given, 1 with the offline model.",
    )
    max_requests: int = Field(100, gt=0, description="Open requests of one person.")
    daily_runs: int | None = Field(
        None,
        gt=0,
        description="Runs a day for one person; 500 unless given, any number with the offline model.",
    )
    daily_tokens: int | None = Field(None, gt=0, description="Tokens of one person's runs a day.")
    daily_cost: Decimal | None = Field(
        None, gt=0, description="US dollars of one person's runs a day, where prices are known."
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

    @field_validator("api_key")
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
            raise ValueError("expected a key without spaces, line breaks and letters beyond ASCII")
        return value

    @field_validator("tools")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not pattern.removeprefix("!").strip() for pattern in value):
            raise ValueError("expected names or patterns of tasks, such as site.* or !site.open_door")
        return value

    @property
    def offline(self) -> bool:
        """Whether the model is the offline one, which costs nothing."""
        from hopyard_ai.agent.providers import OFFLINE

        return self.model == OFFLINE

    @property
    def interval(self) -> float:
        """The least number of seconds between two due times of a request."""
        return self.least_interval or (1.0 if self.offline else _LEAST_INTERVAL)

    @property
    def runs_a_day(self) -> int | None:
        """How many runs one person may have a day; None for any number."""
        return self.daily_runs or (None if self.offline else _DAILY_RUNS)

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
