"""The OpenAPI document: well formed, complete, and true, as tools which nobody here wrote can tell."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.problems import MEDIA_TYPE
from tests.programs import program

Document = dict[str, Any]


@pytest.fixture
def document(client: FlaskClient) -> Document:
    found: Document = client.get("/openapi.json").get_json()
    return found


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method, path, operation


def resolved(document: Document, value: Document) -> Document:
    while "$ref" in value:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def test_the_document_is_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_the_document_passes_spectrals_rules(document: Document, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document, indent=1))
    (tmp_path / "rules.yaml").write_text('extends: ["spectral:oas"]\n')

    linted = subprocess.run(
        [program("spectral"), "lint", "--ruleset", "rules.yaml", "--fail-severity", "hint", "openapi.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_route_is_documented_but_for_the_documentation_itself_and_the_pages_of_the_console(
    app: Flask, document: Document
) -> None:
    documented = {(method.upper(), path) for method, path, _ in operations(document)}
    served = {
        (method, rule.rule.replace("<uuid:", "{").replace("<", "{").replace(">", "}"))
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/console/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert served - documented == {
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/docs/style.css"),
        ("GET", "/problems/{code}"),
        ("GET", "/v1/organisations/{organisation_id}/ledger/tile/{path:path}"),
        ("GET", "/v1/ledger/root/tile/{path:path}"),
        ("GET", "/v1/ledger/installation/tile/{path:path}"),
    }
    assert documented <= served


def test_every_operation_has_an_id_a_summary_and_a_described_set_of_parameters(document: Document) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]

    assert len(ids) == len(set(ids))
    for method, path, operation in operations(document):
        assert operation["summary"], path
        for parameter in [*document["paths"][path].get("parameters", ()), *operation.get("parameters", ())]:
            assert resolved(document, parameter).get("description"), f"{method} {path}: {parameter}"


def test_every_refusal_is_documented_as_a_problem(document: Document) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and path not in ("/readyz", "/v1/authorize"):
                content = resolved(document, response)["content"]
                told_by_oauth = path.startswith("/oauth2/") and status in ("400", "401", "403")  # RFC 6749 section 5.2
                expected = "application/json" if told_by_oauth else MEDIA_TYPE
                assert list(content) == [expected], f"{method} {path} {status}"


def test_every_answer_is_documented_with_the_requests_id(document: Document) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in resolved(document, response)["headers"], f"{method} {path} {status}"


def test_every_command_takes_an_idempotency_key_and_what_changes_a_thing_if_match(document: Document) -> None:
    asking = {
        "verify",
        "verifyBatch",
        "previewGrant",
        "revokePresented",
        "replayWebhookDelivery",
        "testWebhookEndpoint",
    }
    asking |= {"issueToken", "introspectToken", "revokeToken"}
    for method, path, operation in operations(document):
        commands = method != "get" and operation["operationId"] not in asking
        names = {resolved(document, p)["name"] for p in operation.get("parameters", ())}
        begins = "201" in operation["responses"]
        assert ("Idempotency-Key" in names) == commands, path
        goes_on = "Range" in names  # a download does, of the file whose beginning is there
        assert ("If-Match" in names) == ((commands and not begins) or goes_on), path
        if commands:
            success = operation["responses"]["201" if begins else "200"]
            assert {"ETag", "Keyledger-Position"} <= set(success["headers"]), path
            assert begins == ("Location" in success["headers"]), path


def test_the_operations_that_most_people_begin_with_have_examples(document: Document) -> None:
    by_id = {operation["operationId"]: operation for _, _, operation in operations(document)}
    schemas = document["components"]["schemas"]

    for name in (
        "createCredential",
        "rotateCredential",
        "revokeCredential",
        "setAllowlist",
        "enrolOperator",
        "setCatalogue",
        "retirePermissions",
        "previewGrant",
        "registerApplication",
        "connectApis",
        "revokePresented",
    ):
        body = by_id[name]["requestBody"]["content"]["application/json"]
        assert body["examples"], name
        known = set(resolved(document, body["schema"])["properties"])
        for example in body["examples"].values():
            assert set(example["value"]) <= known, name
    assert schemas["Problem"]["properties"]["type"]["example"]
