"""Models by name: OpenAI, Azure, Anthropic, any OpenAI-compatible server, and the offline one."""

from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hopyard import redact
from hopyard.errors import (
    AuthenticationError,
    HopyardError,
    InvalidInput,
    RateLimited,
    TaskError,
    TimeLimitExceeded,
    TransientError,
)
from pydantic import SecretStr

from hopyard_ai.agent.answers import DECLINED, UnusableAnswer

if TYPE_CHECKING:
    from pydantic_ai.models import Model

    from hopyard_ai.agent.gate import Gate

#: Servers may ask for any time; in seconds, more is not waited for.
_LONGEST_WAIT: Final = 3600.0
#: A vector of 4,096 numbers as JSON has some 90,000.
_BYTES_OF_A_VECTOR: Final = 100_000
_DECLINED: Final = re.compile(r"content[_ ](?:filter|management policy)|responsible ?ai", re.IGNORECASE)
_USED_UP: Final = re.compile(r"quota|billing|credit", re.IGNORECASE)
#: What a server says that will not do this at any time, although its status says that it failed.
_UNABLE: Final = re.compile(
    r"requires? |unsupported|not support|not implemented|does not exist", re.IGNORECASE
)
#: With these a server says that it is the request that is wrong: it is too long, say, or not understood.
_OF_THE_REQUEST: Final = (400, 413, 422)
#: Of which kind an error is, words in it, and what its person is told.
_SENTENCES: Final = (
    (
        AuthenticationError,
        "quota is used up",
        "The account of the model is used up. Whoever runs this has to fill it up.",
    ),
    (
        AuthenticationError,
        "key is refused",
        "The model's server refused the key. Whoever runs this has to mend it.",
    ),
    (RateLimited, "the model's server", "The model is too busy at the moment."),
    (TransientError, "the model cannot be reached", "The model could not be reached."),
    (
        InvalidInput,
        "the model cannot be reached",
        "The model could not be reached: its address is set up wrongly.",
    ),
    (UnusableAnswer, "", "The model gave no answer that could be used."),
    (HopyardError, "the model's server answered", "The model's server could not do it."),
    (TimeLimitExceeded, "the model did not answer", "The model did not answer in time."),
    (
        InvalidInput,
        "more than its limits allow",
        "It needed more steps, calls or tokens than one run may have.",
    ),
)

OFFLINE: Final = "local:extractive"

#: What each provider needs besides the model's name.
_NEEDS: Final = {
    "local": (),
    "openai": ("api_key",),
    "azure": ("api_key", "base_url"),
    "anthropic": ("api_key",),
    "compatible": ("base_url",),
}


class Unable(InvalidInput):
    """What is wrong is wrong with all requests: the model's name, its address. Less of them is no help."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider is reached and as whom. `timeout` in seconds, for one request."""

    api_key: SecretStr | None = None
    base_url: str | None = None
    api_version: str | None = None
    timeout: float = 60.0


def check_name(name: str) -> str:
    """Return a model's name if it has a known provider. Raises `ValueError` with what was expected."""
    provider, _, model = name.partition(":")
    if provider not in _NEEDS or not model:
        raise ValueError(
            f"expected PROVIDER:MODEL with a provider out of {', '.join(_NEEDS)}, "
            "for example openai:gpt-5-mini"
        )
    if provider == "local" and name != OFFLINE:
        raise ValueError(
            f"the only local model is {OFFLINE}; a server of your own is compatible:MODEL with a base_url"
        )
    return name


def needs(name: str) -> tuple[str, ...]:
    """Return the settings without which a model cannot be used."""
    return _NEEDS[name.partition(":")[0]]


def resolve_model(name: str, endpoint: Endpoint, gate: Gate | None = None) -> Model:
    """Return a model, with its SDK's own retries off and short waits for rate limits built in.

    Each request waits for its turn at `gate`.
    Raises `AuthenticationError` if the provider needs a key or an address that is not set.
    """
    provider, _, model = check_name(name).partition(":")
    for need in needs(name):
        if not getattr(endpoint, need):
            raise AuthenticationError(
                f"model {name} needs `{need}`: set it in [plugins.ai.settings] or HOPYARD_AI__{need.upper()}"
            )
    if provider == "local":
        from hopyard_ai.offline import offline_model

        return offline_model()
    from hopyard_ai.agent.patience import Patient

    key = endpoint.api_key.get_secret_value() if endpoint.api_key else ""
    return Patient(_remote(provider, model, endpoint), key=key, seconds=endpoint.timeout, gate=gate)


def chain(models: Sequence[Model]) -> Model:
    """Return a model that asks the next one where one cannot be reached, is too busy, or refuses its key."""
    if len(models) == 1:
        return models[0]
    from pydantic_ai.models.fallback import FallbackModel

    passes_on = (RateLimited, TransientError, TimeLimitExceeded, AuthenticationError)
    return FallbackModel(*models, fallback_on=passes_on)


def _remote(provider: str, model: str, endpoint: Endpoint) -> Model:
    if provider == "anthropic":
        return _anthropic(model, endpoint)
    from pydantic_ai.models.openai import OpenAIChatModel

    return OpenAIChatModel(model, provider=openai_provider(provider, endpoint))


def openai_provider(provider: str, endpoint: Endpoint, texts: int = 0) -> Any:
    """Return pydantic-ai's provider of OpenAI, Azure or a compatible server, for vectors of `texts` texts."""
    from openai import AsyncAzureOpenAI, AsyncOpenAI
    from pydantic_ai.providers.openai import OpenAIProvider

    from hopyard_ai.agent.reaching import MOST_BYTES, client_to

    key = endpoint.api_key.get_secret_value() if endpoint.api_key else "none"
    most = max(MOST_BYTES, texts * _BYTES_OF_A_VECTOR)
    options: dict[str, Any] = {
        "api_key": key,
        "max_retries": 0,
        "timeout": endpoint.timeout,
        "http_client": client_to(endpoint.base_url, endpoint.timeout, most),
    }
    if provider == "azure":
        from pydantic_ai.providers.azure import AzureProvider

        azure = AsyncAzureOpenAI(
            azure_endpoint=endpoint.base_url or "",
            api_version=endpoint.api_version or "2025-04-01-preview",
            **options,
        )
        return AzureProvider(openai_client=azure)
    return OpenAIProvider(openai_client=AsyncOpenAI(base_url=endpoint.base_url, **options))


def _anthropic(model: str, endpoint: Endpoint) -> Model:
    key = endpoint.api_key.get_secret_value() if endpoint.api_key else "none"
    try:
        from anthropic import AsyncAnthropic
    except ImportError:
        raise InvalidInput(
            f"model anthropic:{model} needs the extra: pip install 'hopyard-ai[anthropic]'"
        ) from None
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    from hopyard_ai.agent.reaching import client_to

    client = AsyncAnthropic(
        api_key=key,
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=endpoint.timeout,
        http_client=client_to(endpoint.base_url, endpoint.timeout),
    )
    return AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client))


def classify(error: BaseException) -> TaskError | None:
    """Return a model's failure as the task error that it is; None for what is no model's failure."""
    from pydantic_ai import exceptions

    if isinstance(error, exceptions.FallbackExceptionGroup):
        return _of_chain(error)
    if isinstance(error, exceptions.ModelHTTPError):
        return _http(error)
    if isinstance(error, exceptions.UsageLimitExceeded):
        return InvalidInput(f"the request needs more than its limits allow: {error}")
    if isinstance(error, exceptions.ContentFilterError):
        return InvalidInput(DECLINED)
    if isinstance(error, exceptions.UnexpectedModelBehavior):
        return UnusableAnswer(f"the model's answer cannot be used: {_words(error.message)}")
    if isinstance(error, exceptions.ModelAPIError):
        return _unreached(error)
    return None


def _of_chain(error: BaseExceptionGroup[Any]) -> TaskError | None:
    """Return what is to be done when no model of a chain answered: wait, if one of them may answer later."""
    known = [one if isinstance(one, TaskError) else classify(one) for one in error.exceptions]
    found = [one for one in known if one is not None]
    later = [one for one in found if isinstance(one, RateLimited | TransientError | TimeLimitExceeded)]
    return next(iter([*later, *found]), None)


def _unreached(error: Any) -> TaskError:
    import socket
    import ssl

    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    refused = next((one for one in causes if isinstance(one, TaskError)), None)
    if refused is not None:  # by the way out: a redirect, an answer that does not end
        return refused
    if any("Timeout" in type(one).__name__ for one in causes) or "timed out" in str(error).lower():
        return TimeLimitExceeded(f"the model did not answer in time: {_reason(causes)}")
    wrong = [one for one in causes if isinstance(one, ssl.SSLError | socket.gaierror)]
    passing = any(isinstance(one, ssl.SSLEOFError | ssl.SSLZeroReturnError) for one in wrong)
    if wrong and not passing and "Temporary failure" not in _reason(causes):
        return Unable(f"the model cannot be reached as it is set up: {_reason(causes)}")
    if not any(isinstance(one, OSError) or type(one).__module__.startswith("http") for one in causes):
        return UnusableAnswer(f"the model's answer cannot be used: {_unread(causes)}")
    return TransientError(f"the model cannot be reached: {_reason(causes)}")


def _unread(causes: Sequence[BaseException]) -> str:
    """Say what a server sent that is no answer of a model: a web page, half of a JSON text."""
    text = next((one.doc for one in causes if isinstance(one, json.JSONDecodeError)), "")
    shown = f"no JSON: {redact(text)[:200]!r}" if text else f"{type(causes[-1]).__name__}: {_reason(causes)}"
    return f"the server sent {shown}; is `base_url` the address of its API?"


def _reason(causes: Sequence[BaseException]) -> str:
    """Return the words of the failure that began it."""
    import os

    words = [str(one) for one in reversed(causes) if str(one)]
    codes = [one.errno for one in causes if isinstance(one, OSError) and one.errno and one.errno > 0]
    meaning = f"{os.strerror(codes[-1])}: " if codes and os.strerror(codes[-1]) not in words[0] else ""
    return meaning + redact(words[0])[:300] if words else type(causes[0]).__name__


def _http(error: Any) -> TaskError:
    said = f"the model's server answered {error.status_code} for {error.model_name}: {_words(error.body)}"
    after = None if error.retry_after is None else min(error.retry_after, _LONGEST_WAIT)
    if after is not None and after < error.retry_after:
        said += f" (it asks to wait {error.retry_after:g} s; asked again after {after:g} s)"
    if _DECLINED.search(f"{said} {error.body}") and error.status_code < 500:
        return InvalidInput(DECLINED)
    if error.status_code == 402 or (error.status_code == 429 and _USED_UP.search(said)):
        return AuthenticationError(f"the account's quota is used up: {said}")
    if error.status_code in (401, 403):
        return AuthenticationError(f"the key is refused: {said}")
    if error.status_code == 429 or (error.status_code >= 500 and after):
        return RateLimited(said, retry_after=after)
    if error.status_code == 408:
        return TimeLimitExceeded(said)
    if error.status_code >= 500 and error.status_code != 501 and not _UNABLE.search(said):
        return TransientError(said)
    return InvalidInput(said) if error.status_code in _OF_THE_REQUEST else Unable(said)


def _words(body: Any) -> str:
    """Return a server's own reason out of the body of its refusal."""
    found = body
    for name in ("error", "message"):
        if isinstance(found, Mapping) and name in found:
            found = found[name]
    return redact(" ".join(str(found or "no reason given")[:2_000].split()))[:300]


def explained(error: BaseException) -> str:
    """Return why a run failed in words for its person; a server's own words are in the job's error."""
    text = str(error)
    for kind, words, sentence in _SENTENCES:
        if isinstance(error, kind) and words in text:
            return sentence
    return text


async def check(model: Model, seconds: float) -> tuple[bool, float, str]:
    """Ask a model for one word; return whether it answered, after how many seconds, and what."""
    import asyncio

    from pydantic_ai import Agent
    from pydantic_ai.usage import UsageLimits

    if model.model_name == OFFLINE:
        return True, 0.0, "offline, always answers"
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            answer = await Agent(model).run(
                "Answer with the one word: ready", usage_limits=UsageLimits(request_limit=2)
            )
    except TimeoutError:
        return False, seconds, f"no answer within {seconds:g} s"
    except Exception as error:
        known = error if isinstance(error, TaskError) else classify(error)
        if known is None:
            raise
        return False, time.monotonic() - started, str(known)
    return True, time.monotonic() - started, str(answer.output)[:200]


async def reach(model: Model) -> str:
    """Ask a model's server for its list of models, which costs nothing; return what to say about it.

    Raises the task errors of `classify`. A server that has no such list has answered all the same.
    """
    client = getattr(getattr(model, "wrapped", model), "client", None)
    if client is None:
        return "offline, always answers"
    # OpenAI's and Anthropic's packages name their errors alike.
    sdk = importlib.import_module(type(client).__module__.partition(".")[0])
    try:
        await client.models.list()
    except sdk.APIStatusError as error:
        if error.status_code in (401, 403):
            raise AuthenticationError(
                f"the server answered {error.status_code}: the key is refused"
            ) from error
        if error.status_code >= 500:
            raise TransientError(f"the server answered {error.status_code}") from error
    except sdk.APIConnectionError as error:
        raise TransientError(f"the server cannot be reached: {error.__cause__ or error}") from error
    return "answers"
