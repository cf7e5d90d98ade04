"""What is wrong in the plugin's settings is found by `config check`, with what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from hopyard_ai.settings import AISettings
from pydantic import SecretStr, ValidationError

COMPATIBLE = {"model": "compatible:tiny", "base_url": "http://127.0.0.1:8080/v1"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"base_url": "127.0.0.1:8080/v1"}, "such as https://"),
        ({"base_url": "models.example.com"}, "such as https://"),
        ({"base_url": "ftp://models.example.com"}, "such as https://"),
        ({"base_url": "http://"}, "such as https://"),
        ({"base_url": "http://a b/v1"}, "such as https://"),
        ({"base_url": "http://host:port/v1"}, "such as https://"),
        *(
            ({"base_url": f"https://models.example.com{rest}"}, r"without \? and #")
            for rest in ("/v1?key=a", "/v1?", "/v1#a")
        ),
        ({"base_url": "https://me:word@models.example.com/v1"}, "without a user and a password"),
        ({"base_url": "https://me@models.example.com/v1"}, "without a user and a password"),
        ({"api_key": "sk-a\n"}, "without spaces, line breaks"),
        ({"api_key": "sk a"}, "without spaces, line breaks"),
        ({"api_key": "schlüssel"}, "beyond ASCII"),
        ({"tools": ["!"]}, "names or patterns of tasks"),
        ({"tools": [""]}, "names or patterns of tasks"),
        ({"approval": "never"}, "changes"),
        ({"least_interval": 0}, "greater than 0"),
        *(
            ({name: 1e300}, "less than or equal")  # no date is so far away
            for name in ("timeout", "max_seconds", "approval_expires", "least_interval")
        ),
    ],
)
def test_what_is_wrong_is_found_with_what_was_expected(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        AISettings(**(COMPATIBLE | values))


@pytest.mark.parametrize("of", ["fallbacks", "embeddings"])
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("models.example.com", "such as https://"),
        ("https://models.example.com/v1?a=b", r"without \? and #"),
        ("https://models.example.com/v1#a", r"without \? and #"),
        ("https://me:word@models.example.com/v1", "without a user and a password"),
        ("", "such as https://"),
        (None, "`base_url` is set, which the model compatible:tiny needs"),
    ],
)
def test_addresses_of_other_models_are_looked_at_as_that_of_the_first(
    of: str, address: str | None, expected: str
) -> None:
    table = {"model": "compatible:tiny", "base_url": address}
    right = table | {"base_url": "https://models.example.com/v1"}
    AISettings(**{of: right if of == "embeddings" else [right]})  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=expected):
        AISettings(**{of: table if of == "embeddings" else [table]})  # type: ignore[arg-type]


def test_limits_of_people_follow_from_what_the_model_costs() -> None:
    offline, paid = AISettings(), AISettings(model="openai:gpt-5-mini", api_key=SecretStr("sk-a"))
    assert (offline.interval, offline.runs_a_day) == (1.0, None)
    assert (paid.interval, paid.runs_a_day) == (60.0, 500)
    assert AISettings(least_interval=5, daily_runs=7).interval == 5
    assert AISettings(least_interval=5, daily_runs=7).runs_a_day == 7
