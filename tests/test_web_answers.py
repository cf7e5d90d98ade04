"""Whatever the OpenAPI document allows, and much that it does not: each answer is one that it tells of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from contained import examples
from hopyard.ledger import access
from hopyard.web import create_app
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from web_lab import everything, listening

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
#: Requests of each kind to each endpoint.
MANY: Final = examples(2)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_each_answer_is_documented(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str, database: str
) -> None:
    server = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    async with everything(tmp_path, valkey_url, server) as hopyard:
        app = create_app(hopyard)
        async with app.router.lifespan_context(app), listening(app) as port:
            _, token = await access.make(hopyard.client().database, "token", "tests", "admin")
            document = app.openapi()
            faults = await asyncio.to_thread(asked, document, f"http://127.0.0.1:{port}", token)
    assert not faults, "\n\n".join(faults)


def asked(document: dict[str, Any], base: str, token: str) -> list[str]:
    """Ask each endpoint for what the document allows, and for what it does not; return what is wrong."""
    schema = schemathesis.openapi.from_dict(document)
    faults: list[str] = []
    for found in schema.exclude(path_regex="/stream/").get_all_operations():
        if isinstance(found, Err):
            raise found.err()
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            fault = _fault(operation, mode, base, token)
            if fault is not None:
                faults.append(f"{operation.label} ({mode.value}): {fault}")
    return faults


def _fault(operation: Any, mode: GenerationMode, base: str, token: str) -> str | None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=MANY,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    def ask(case: Any) -> None:
        case.call_and_validate(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, checks=CHECKS, timeout=30
        )

    try:
        ask()
    except (Exception, FailureGroup) as error:
        return str(error)
    return None
