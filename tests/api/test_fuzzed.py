"""The API held against its own OpenAPI document by schemathesis: no answer that is not documented, and never a 500."""

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from api.wiring import Services
from ledger.values import Mode, Role
from projections.runner import Projector
from tests.api.conftest import SignIn
from tests.given import (
    a_bulk_revocation,
    a_credential,
    a_webhook_delivery,
    a_webhook_endpoint,
    an_access_review,
    an_account,
    an_application,
    an_export,
    an_operator,
    sealed,
)

# For each of some thirty operations and both ways: half a minute. What shows only after more has a test of its own.
EXAMPLES_MAX = 15

# What a request that keeps to its JSON schema may still be told: the schema cannot say what an email address or a
# network is, which texts follow from which, what time it is, and which version a thing has by now.
BEYOND_THE_SCHEMA = {
    "beyond_ceiling",
    "contradiction",
    "duplicate_field",  # two entities of one name
    "excluded_scope",
    "forbidden_characters",
    "future_time",
    "idempotency_key_reused",
    "invalid_address",
    "invalid_cursor",
    "invalid_email",
    "invalid_length",  # a text of spaces is empty
    "invalid_login",
    "invalid_name",
    "invalid_network",
    "invalid_position",
    "invalid_scope",
    "invalid_time",
    "invalid_url",
    "invalid_value",
    "malformed_secret",  # its checksum
    "too_many_attempts",
    "too_many_requests",  # a minute's worth of revocations
    "unknown_account",
    "out_of_range",  # sizes beyond the newest checkpoint
    "missing_field",  # a channel, for a channel login alone
    "past_time",
    "retired_scope",
    "stale_version",
    "unknown_api",
    "unknown_application",
    "unknown_scope",
    "unknown_topic",
    "weak_password",
    "wrong_mode_scope",
}


# What OAuth refuses besides: a client that signs in twice or asks for what it has not.
OAUTH_ERRORS = {"invalid_request", "invalid_scope", "invalid_target"}


def refused_only_for_what_a_schema_cannot_say(
    _context: schemathesis.CheckContext, response: Response, case: Case[Any]
) -> None:
    """In place of `positive_data_acceptance`, which knows statuses alone."""
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        assert (
            response.status_code < 400
            or response.status_code in (401, 403, 404, 409)
            or (response.json().get("code") in BEYOND_THE_SCHEMA or response.json().get("error") in OAUTH_ERRORS)
        )


@pytest.mark.timeout(900)  # each of more than a hundred operations takes a second or two
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_a_documented_one(
    app: Flask, services: Services, projector: Projector, sign_in: SignIn, organisation: UUID, mode: GenerationMode
) -> None:
    administrator = sign_in(Role.ADMINISTRATOR, Role.VERIFIER)
    config = SchemathesisConfig.from_dict(
        {
            "auth": {
                "openapi": {
                    "operatorToken": {"bearer": administrator.token},
                    "gatewayToken": {"api_key": administrator.token},
                }
            },
            "checks": {
                "positive_data_acceptance": {"enabled": False},
                # 413 too: a list that is too long may make too large a body.
                "negative_data_rejection": {
                    "expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422, 428, 429]
                },
            },
        }
    )
    wrong: list[str] = []

    def check(case: Case[Any]) -> None:
        credential, _ = a_credential(services, organisation, mode=Mode.TEST)
        operator, _ = an_operator(services, Role.VIEWER, organisation_id=organisation)
        endpoint = a_webhook_endpoint(services, organisation)
        known = {
            "organisation_id": organisation,
            "account_id": an_account(services, organisation),
            "application_id": an_application(services, organisation),
            "credential_id": credential.id,
            "operator_id": operator,
            "endpoint_id": endpoint,
            "delivery_id": a_webhook_delivery(services, organisation, endpoint, credential.id),
            "export_id": an_export(services, organisation),
            "access_review_id": an_access_review(services, organisation),
            "run_id": a_bulk_revocation(services, organisation, credential.id),
        }
        for name, value in case.path_parameters.items():
            with suppress(ValueError):  # a made-up id would be told 404 and no more; what is no id stays as it is
                case.path_parameters[name] = str(UUID(value) and known[name])
        if case.path.endswith("/content"):  # of an export, which waits for the sealer
            sealed(services)
        case.call_and_validate(additional_checks=[refused_only_for_what_a_schema_cannot_say])

    sealed(services)
    for result in schemathesis.openapi.from_wsgi("/openapi.json", app, config=config).get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        fuzz = given(operation.as_strategy(generation_mode=mode))(check)
        bounded = settings(max_examples=EXAMPLES_MAX, suppress_health_check=list(HealthCheck), deadline=None)(fuzz)
        try:
            bounded()
        except Unsatisfiable:
            continue  # nothing about it can be wrong: it takes no parameter and no body
        except BaseExceptionGroup as failures:
            wrong += [f"{operation.label}: {failure}" for failure in failures.exceptions]

    assert not wrong, "\n\n".join(wrong)
