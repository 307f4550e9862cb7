"""Whatever a client makes of the OpenAPI description, answers are as it says."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving import serving

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.slow
def test_answers_are_as_described() -> None:
    with serving("--workers", "1") as service:
        schema: Any = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        assert {operation.path for operation in operations} >= {"/v1/predict", "/v1/timeline"}
        for operation in operations:
            check(operation)


def check(operation: Any) -> None:
    """Ask as the description says that one may, and otherwise."""

    @given(case=operation.as_strategy())
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def asked(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=60)

    asked()
