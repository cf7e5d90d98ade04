"""Settings of models beside the first one, and of the content tasks."""

from __future__ import annotations

from typing import Any, Final

from hopyard.fields import BaseUrl
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

LEXICAL: Final = "local:lexical"


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Fallback(_Settings):
    """A model that is asked where the one before it does not answer. What it is not given has no default."""

    model: str = Field(description="PROVIDER:MODEL, as `model`.")
    api_key: SecretStr | None = Field(None, validate_default=True, description="Of this model's provider.")
    base_url: BaseUrl | None = Field(None, validate_default=True, description="Of this model's server.")
    api_version: str | None = Field(None, description="Azure only.")
    timeout: float = Field(60.0, gt=0, le=3600, description="Seconds for one request.")

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        from hopyard_ai.agent.providers import check_name

        return check_name(value)

    @field_validator("api_key", "base_url")
    @classmethod
    def _needed(cls, value: Any, info: ValidationInfo) -> Any:
        from hopyard_ai.agent.providers import needs

        model = info.data.get("model")
        if model and not value and info.field_name in needs(model):
            raise ValueError(f"`{info.field_name}` is set, which the model {model} needs")
        return value


class Price(_Settings):
    """US dollars for a million tokens."""

    input: float = Field(ge=0, description="Of what the model is told.")
    output: float = Field(ge=0, description="Of what it answers.")


class ContentSettings(_Settings):
    """How texts are read by models."""

    max_tokens: int = Field(400_000, gt=0, description="About how many tokens a text may have at most.")
    part_tokens: int = Field(
        6_000, ge=500, description="About how many tokens of a text a model is shown at once."
    )
    concurrency: int = Field(4, gt=0, le=64, description="Requests of one job at a time.")
    keep_days: float = Field(
        30.0, ge=0, le=3660, description="Days that answers are kept for equal questions."
    )


class EmbeddingSettings(_Settings):
    """Which model makes vectors of texts."""

    model: str = Field(
        LEXICAL,
        description="local:lexical, offline, by words; local:/PATH, a model of sentence-transformers on this "
        "machine, with the extra local-embeddings; or openai:, azure:, compatible:MODEL.",
    )
    api_key: SecretStr | None = Field(None, validate_default=True, description="Of its provider.")
    base_url: BaseUrl | None = Field(None, validate_default=True, description="Of its server.")
    api_version: str | None = Field(None, description="Azure only.")
    timeout: float = Field(60.0, gt=0, le=3600, description="Seconds for one request.")
    batch: int = Field(64, gt=0, le=2048, description="Texts in one request.")
    max_tokens: int = Field(8_000, gt=0, description="About how many tokens one text may have at most.")
    requests_per_minute: float | None = Field(None, gt=0, description="Of all workers together.")

    @field_validator("model")
    @classmethod
    def _known(cls, value: str) -> str:
        provider, _, name = value.partition(":")
        local = provider == "local" and (name == "lexical" or name.startswith("/"))
        if not local and (provider not in ("openai", "azure", "compatible") or not name):
            raise ValueError(
                "expected local:lexical, local:/PATH, openai:MODEL, azure:MODEL or compatible:MODEL"
            )
        return value

    @field_validator("api_key", "base_url")
    @classmethod
    def _needed(cls, value: Any, info: ValidationInfo) -> Any:
        from hopyard_ai.agent.providers import needs

        model = info.data.get("model", LEXICAL)
        if not model.startswith("local:") and not value and info.field_name in needs(model):
            raise ValueError(f"`{info.field_name}` is set, which the model {model} needs")
        return value
