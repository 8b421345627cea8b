"""Bad input: each mistake has a problem of its own, which names the field, and nothing of it reaches the log."""

import ast
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import problems
from api.wiring import Services
from ledger import errors
from ledger.values import AccountKind, Role
from projections.pages import CURSOR_CHARS_MAX
from tests import given
from tests.api.conftest import SignedIn, SignIn

KEY = {"kind": "api_key", "mode": "test", "preset": "read_only"}
LOGIN = {"kind": "channel_login", "mode": "test", "preset": "read_only", "channel": "ftp"}
CREATE = ("POST", "{credentials}")
LIST = ("GET", "{credentials}")
PATCH = ("PATCH", "{credential}")
ALLOWLIST = ("PUT", "{credential}/allowlist")
ROTATE = ("POST", "{credential}/rotate")
REVOKE = ("POST", "{credential}/revoke")
ENROL = ("POST", "/v1/operators")
OPEN = ("POST", "{organisation}/accounts")
ACCOUNTS = ("GET", "{organisation}/accounts")
PATCH_ACCOUNT = ("PATCH", "{account}")
CLOSE = ("POST", "{account}/close")
ACCOUNT = {"kind": "merchant", "name": "Corner Shop"}

# The operation, what is wrong with the body (or the query), the problem's code, the field that it names.
MISTAKES: list[tuple[tuple[str, str], Any, str, str]] = [
    (CREATE, KEY | {"colour": "red"}, "unknown_field", "colour"),
    (CREATE, {"mode": "test", "preset": "read_only"}, "missing_field", "kind"),
    (CREATE, {"kind": "api_key", "preset": "read_only"}, "missing_field", "mode"),
    (CREATE, {"kind": "api_key", "mode": "test"}, "missing_field", "scopes"),
    (CREATE, LOGIN | {"channel": None}, "missing_field", "channel"),
    (CREATE, KEY | {"name": 7}, "wrong_type", "name"),
    (CREATE, KEY | {"kind": None}, "wrong_type", "kind"),
    (CREATE, KEY | {"labels": []}, "wrong_type", "labels"),
    (CREATE, KEY | {"scopes": "customer:view"}, "wrong_type", "scopes"),
    (CREATE, KEY | {"account_id": "7"}, "wrong_type", "account_id"),
    (CREATE, KEY | {"expires_at": "tomorrow"}, "wrong_type", "expires_at"),
    (CREATE, KEY | {"expires_at": "2030-01-01T00:00:00"}, "wrong_type", "expires_at"),
    (CREATE, KEY | {"mode": "prod"}, "invalid_choice", "mode"),
    (CREATE, KEY | {"preset": "all"}, "invalid_choice", "preset"),
    (CREATE, KEY | {"name": "n" * 201}, "invalid_length", "name"),
    (CREATE, KEY | {"description": "d" * 2_001}, "invalid_length", "description"),
    (CREATE, KEY | {"reason": "r" * 1_001}, "invalid_length", "reason"),
    (CREATE, KEY | {"labels": {str(n): "" for n in range(33)}}, "invalid_length", "labels"),
    (CREATE, KEY | {"labels": {"team": "t" * 101}}, "invalid_length", "labels.team"),
    (CREATE, KEY | {"allowlist": ["192.0.2.1"] * 201}, "invalid_length", "allowlist"),
    (CREATE, KEY | {"preset": None, "scopes": []}, "invalid_length", "scopes"),
    (CREATE, KEY | {"name": "a\x00b"}, "forbidden_characters", "name"),
    (CREATE, KEY | {"name": "a\u202eb"}, "forbidden_characters", "name"),
    (CREATE, KEY | {"contact_email": "nobody"}, "invalid_email", "contact_email"),
    (CREATE, KEY | {"allowlist": ["192.0.2.0/24", "192.0.2.300"]}, "invalid_network", "allowlist.1"),
    (CREATE, KEY | {"allowlist": ["192.0.2.1/24"]}, "invalid_network", "allowlist.0"),
    (CREATE, KEY | {"allowlist": ["fe80::1%eth0"]}, "invalid_network", "allowlist.0"),
    (CREATE, LOGIN | {"login": "no spaces"}, "invalid_login", "login"),
    (CREATE, KEY | {"login": "somebody"}, "contradiction", "login"),
    (CREATE, KEY | {"preset": None, "scopes": ["customer"]}, "invalid_scope", "scopes.0"),
    (CREATE, KEY | {"preset": None, "scopes": ["customer:fly"]}, "unknown_scope", "scopes"),
    (CREATE, KEY | {"scopes": ["customer:view"]}, "contradiction", "scopes"),
    (CREATE, KEY | {"access_level": "full"}, "contradiction", "access_level"),
    (CREATE, KEY | {"environment": "production"}, "contradiction", "environment"),
    (CREATE, KEY | {"secret": "correct horse battery staple"}, "contradiction", "secret"),
    (CREATE, LOGIN | {"secret": "aaaaaaaaaaaaaaaaaaaa"}, "weak_password", "secret"),
    (CREATE, LOGIN | {"secret": "too short"}, "invalid_length", "secret"),
    (CREATE, KEY | {"expires_at": "2020-01-01T00:00:00Z"}, "past_time", "expires_at"),
    (CREATE, KEY | {"expires_at": "2999-01-01T00:00:00Z"}, "invalid_time", "expires_at"),
    (CREATE, KEY | {"expires_at": "9999-12-31T23:59:59-23:00"}, "invalid_time", "expires_at"),
    (CREATE, KEY | {"supersedes": str(uuid4())}, "invalid_value", "supersedes"),
    (CREATE, '{"kind": "api_key", "kind": "key_pair"}', "duplicate_field", "kind"),
    (CREATE, '{"kind": "api_key", "labels": {"a": "1", "a": "2"}}', "duplicate_field", "a"),
    (CREATE, KEY | {"account_id": str(uuid4())}, "unknown_account", "account_id"),
    (CREATE, KEY | {"account_id": "{closed}"}, "account_closed", "account_id"),
    (CREATE, KEY | {"account_id": "{beneath_closed}"}, "account_closed", "account_id"),
    (OPEN, {"name": "Corner Shop"}, "missing_field", "kind"),
    (OPEN, {"kind": "merchant"}, "missing_field", "name"),
    (OPEN, ACCOUNT | {"kind": "branch"}, "invalid_choice", "kind"),
    (OPEN, ACCOUNT | {"name": "  "}, "invalid_length", "name"),
    (OPEN, ACCOUNT | {"reference": "r" * 101}, "invalid_length", "reference"),
    (OPEN, ACCOUNT | {"reference": "a\x00b"}, "forbidden_characters", "reference"),
    (OPEN, ACCOUNT | {"opened_on": "6 June 2023"}, "wrong_type", "opened_on"),
    (OPEN, ACCOUNT | {"opened_on": "2023-06-06T00:00:00Z"}, "wrong_type", "opened_on"),
    (OPEN, ACCOUNT | {"opened_on": "2999-01-01"}, "future_time", "opened_on"),
    (OPEN, ACCOUNT | {"parent_id": str(uuid4())}, "contradiction", "parent_id"),
    (OPEN, ACCOUNT | {"kind": "sub"}, "missing_field", "parent_id"),
    (OPEN, ACCOUNT | {"kind": "sub", "parent_id": str(uuid4())}, "unknown_account", "parent_id"),
    (OPEN, ACCOUNT | {"kind": "sub", "parent_id": "{credential_id}"}, "unknown_account", "parent_id"),
    (OPEN, ACCOUNT | {"kind": "sub", "parent_id": "{of_another}"}, "unknown_account", "parent_id"),
    (OPEN, ACCOUNT | {"kind": "sub", "parent_id": "{closed}"}, "account_closed", "parent_id"),
    (OPEN, ACCOUNT | {"kind": "sub", "parent_id": "{merchant}"}, "contradiction", "parent_id"),
    (PATCH_ACCOUNT, {"name": ""}, "invalid_length", "name"),
    (PATCH_ACCOUNT, {"kind": "sub"}, "unknown_field", "kind"),
    (CLOSE, {}, "missing_field", "reason"),
    (CLOSE, {"reason": " "}, "missing_field", "reason"),
    (ACCOUNTS, {"status": "ajar"}, "invalid_choice", "status"),
    (ACCOUNTS, {"parent": "7"}, "wrong_type", "parent"),
    (ACCOUNTS, {"q": "a\x00b"}, "forbidden_characters", "q"),
    (ACCOUNTS, {"cursor": "AAAA"}, "invalid_cursor", "cursor"),
    (("GET", "{account}/events"), {"cursor": "AAAA"}, "invalid_cursor", "cursor"),
    (ROTATE, {"login": "somebody"}, "contradiction", "login"),
    (ROTATE, {"login": "no spaces"}, "invalid_login", "login"),
    (PATCH, {"contact_email": "@"}, "invalid_email", "contact_email"),
    (PATCH, {"contact_email": None}, "wrong_type", "contact_email"),
    (PATCH, {"scopes": ["customer:view"]}, "unknown_field", "scopes"),
    (ALLOWLIST, {}, "missing_field", "allowlist"),
    (ALLOWLIST, {"allowlist": ["::/0/0"]}, "invalid_network", "allowlist.0"),
    (ROTATE, {"overlap_seconds": -1}, "out_of_range", "overlap_seconds"),
    (ROTATE, {"overlap_seconds": 10**9}, "out_of_range", "overlap_seconds"),
    (ROTATE, {"overlap_seconds": 1.5}, "wrong_type", "overlap_seconds"),
    (ROTATE, {"overlap_seconds": "60"}, "wrong_type", "overlap_seconds"),
    (ROTATE, {"overlap_seconds": True}, "wrong_type", "overlap_seconds"),
    (REVOKE, {"revocation_reason": "because"}, "invalid_choice", "revocation_reason"),
    (REVOKE, {"effective_at": "2020-01-01T00:00:00Z"}, "past_time", "effective_at"),
    (ENROL, {"name": "x", "roles": []}, "invalid_length", "roles"),
    (ENROL, {"name": "x", "roles": ["king"]}, "invalid_choice", "roles.0"),
    (ENROL, {"name": " ", "roles": ["viewer"]}, "invalid_length", "name"),
    (ENROL, {"name": "x", "roles": ["viewer"], "email": "x"}, "invalid_email", "email"),
    (ENROL, {"name": "x", "roles": ["viewer"], "production": "yes"}, "wrong_type", "production"),
    (LIST, {"limit": "0"}, "out_of_range", "limit"),
    (LIST, {"limit": "201"}, "out_of_range", "limit"),
    (LIST, {"limit": "many"}, "wrong_type", "limit"),
    (LIST, {"limit": ["1", "2"]}, "duplicate_field", "limit"),
    (LIST, {"cursor": "!"}, "invalid_cursor", "cursor"),
    (LIST, {"cursor": "c" * (CURSOR_CHARS_MAX + 1)}, "invalid_length", "cursor"),
    (("GET", "{organisation}/reports/owners"), {"cursor": "AAAA"}, "invalid_cursor", "cursor"),
    (("GET", "{organisation}/reports/owners"), {"limit": 201}, "out_of_range", "limit"),
    (LIST, {"colour": "red"}, "unknown_field", "colour"),
    (LIST, {"status": "sleeping"}, "invalid_choice", "status"),
    (LIST, {"contact_email": "a\x00@example.com"}, "forbidden_characters", "contact_email"),
    (LIST, {"unused_since": "yesterday"}, "wrong_type", "unused_since"),
    (LIST, {"q": ""}, "invalid_length", "q"),
    (("GET", "/v1/operators"), {"cursor": "AAAA"}, "invalid_cursor", "cursor"),
    (("GET", "/v1/organisations"), {"cursor": "AAAA"}, "invalid_cursor", "cursor"),
    (("GET", "{credential}"), {"as_of": "2999-01-01T00:00:00Z"}, "future_time", "as_of"),
    (("GET", "{credential}"), {"version": "0"}, "out_of_range", "version"),
    (("GET", "{credential}"), {"version": "1", "as_of": "2026-01-01T00:00:00Z"}, "contradiction", "version"),
    (("GET", "{credential}/events"), {"cursor": "AAAA"}, "invalid_cursor", "cursor"),
    (("GET", "{organisation}/events"), {"topic": "credential.eaten"}, "invalid_choice", "topic"),
    (("GET", "{organisation}/events"), {"address": "localhost"}, "invalid_address", "address"),
    (("GET", "{organisation}/events"), {"actor": "a\x00b"}, "forbidden_characters", "actor"),
]


@pytest.fixture
def paths(services: Services, organisation: UUID) -> dict[str, str]:
    """What the paths in the table stand for."""
    credential, _ = given.a_credential(services, organisation)
    base = f"/v1/organisations/{organisation}"
    return {
        "organisation": base,
        "credentials": f"{base}/credentials",
        "credential": f"{base}/credentials/{credential.id}",
        "account": f"{base}/accounts/{given.an_account(services, organisation)}",
    }


@pytest.fixture
def ids(services: Services, organisation: UUID) -> dict[str, str]:
    """What the ids in the table's bodies stand for."""

    def account(**changes: Any) -> UUID:
        return given.an_account(services, organisation, **changes)

    credential, _ = given.a_credential(services, organisation)
    closed = account()
    beneath = account(kind=AccountKind.SUB, parent_id=closed)
    given.a_closed_account(services, closed)
    return {
        "{credential_id}": str(credential.id),
        "{closed}": str(closed),
        "{beneath_closed}": str(beneath),
        "{merchant}": str(account(kind=AccountKind.MERCHANT)),
        "{of_another}": str(given.an_account(services, given.an_organisation(services, "Other"))),
    }


def test_each_mistake_has_its_problem_names_its_field_and_records_nothing(
    administrator: SignedIn, services: Services, paths: dict[str, str], ids: dict[str, str]
) -> None:
    head = services.log.head()
    wrong = []
    for (method, path), given_mistake, code, field in MISTAKES:
        mistake = given_mistake
        if isinstance(mistake, dict):
            mistake = {name: ids.get(v, v) if isinstance(v, str) else v for name, v in mistake.items()}
        sent: dict[str, Any] = {"query_string": mistake} if method == "GET" else {"body": mistake}
        if isinstance(mistake, str):
            sent = {"data": mistake, "content_type": "application/json"}
        response = administrator(
            method, path.format(**paths), headers={"If-Match": "*"} if method in ("PUT", "PATCH") else None, **sent
        )
        problem = response.json
        named = [(one["field"], one["code"]) for one in problem.get("errors", ())]
        if (response.status_code, problem["code"], named) != (422, code, [(field, code)]):
            wrong.append((method, path, mistake, response.status_code, problem))
        assert response.headers["Content-Type"] == problems.MEDIA_TYPE
        assert problem["type"] == f"/problems/{code}"
        assert problem["request_id"] == response.headers["X-Request-Id"]

    assert wrong == []
    assert services.log.head() == head


def test_several_mistakes_are_told_at_once(administrator: SignedIn, paths: dict[str, str]) -> None:
    response = administrator("POST", paths["credentials"], {"kind": "key", "colour": 1, "name": 2})

    assert response.json["code"] == "invalid_value"
    assert {one["field"]: one["code"] for one in response.json["errors"]} == {
        "kind": "invalid_choice",
        "colour": "unknown_field",
        "name": "wrong_type",
    }


def test_an_answer_to_many_mistakes_does_not_outgrow_them(administrator: SignedIn, paths: dict[str, str]) -> None:
    response = administrator("POST", paths["credentials"], {f"field{n}": n for n in range(1_000)})

    assert response.status_code == 422
    assert len(response.json["errors"]) == problems.FAILED_MAX


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_request"),
        (b"[]", "application/json", 400, "malformed_request"),
        (b"null", "application/json", 400, "malformed_request"),
        (b'"kind"', "application/json", 400, "malformed_request"),
        (b'{"kind": NaN}', "application/json", 400, "malformed_request"),
        (b'{"kind": 1e999}', "application/json", 400, "malformed_request"),
        (b'{"kind": ' + b"9" * 5_000 + b"}", "application/json", 400, "malformed_request"),
        (b'{"kind": "\xff\xfe"}', "application/json", 400, "malformed_request"),
        (b'{"kind": "\\ud800"}', "application/json", 400, "malformed_request"),
        (b"\xef\xbb\xbf{}", "application/json", 400, "malformed_request"),
        (b'{"kind": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "application/json", 400, "malformed_request"),
        (b'{"kind": ' + b"[" * 1_000 + b"]" * 1_000 + b"}", "application/json", 400, "malformed_request"),
        (b'{"kind": ' + b"[" * 500 + b"]" * 500 + b"}", "application/json", 422, "wrong_type"),
        ('{"kind": "api_key"}'.encode("utf-16"), "application/json; charset=utf-16", 400, "malformed_request"),
        (b"kind=api_key", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"kind": "api_key"}', "text/json", 415, "unsupported_media_type"),
        (b'{"kind": "api_key"}', None, 415, "unsupported_media_type"),
        (b" " * 65_537, "application/json", 413, "body_too_large"),
        (b"", "application/json", 422, "missing_field"),
        (b"", "text/plain", 422, "missing_field"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_not_one_json_object_is_refused(
    administrator: SignedIn,
    services: Services,
    paths: dict[str, str],
    body: bytes,
    content_type: str | None,
    status: int,
    code: str,
) -> None:
    head = services.log.head()

    response = administrator("POST", paths["credentials"], data=body, content_type=content_type)

    assert (response.status_code, response.json["code"]) == (status, code)
    assert services.log.head() == head


@pytest.mark.parametrize(("padding", "status"), [(1_000, 201), (65_536, 413), (1_000_000, 413)])
def test_a_body_in_chunks_is_read_whole_or_refused(
    administrator: SignedIn, services: Services, paths: dict[str, str], padding: int, status: int
) -> None:
    head = services.log.head()
    body = json.dumps(KEY).encode() + b" " * padding + b"}"[: status != 201]

    # As the server gives what comes in chunks: no length, and a stream that ends by itself.
    response = administrator(
        "POST",
        paths["credentials"],
        input_stream=BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == status
    assert (services.log.head() == head) == (status != 201)


def test_a_compressed_body_is_refused(administrator: SignedIn, paths: dict[str, str]) -> None:
    response = administrator("POST", paths["credentials"], KEY, {"Content-Encoding": "gzip"})

    assert (response.status_code, response.json["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "path", ["/v1/organisations/7", "/v1/organisations/%00", "/v1/%ff%fe", "/nowhere", "/problems/x"]
)
def test_a_path_that_is_none_is_not_found(administrator: SignedIn, path: str) -> None:
    response = administrator("GET", path)

    assert (response.status_code, response.json["code"]) == (404, "not_found")


def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(administrator: SignedIn) -> None:
    response = administrator("DELETE", "/v1/organisations")

    assert (response.status_code, response.json["code"]) == (405, "method_not_allowed")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer x", "Basic eDp5", "Bearer \xe9", "kl_operator_live_x"]
)
def test_a_stranger_is_challenged_before_anything_else_is_looked_at(
    client: FlaskClient, paths: dict[str, str], authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    unknown = paths["credentials"] + f"/{uuid4()}"

    answers = [
        client.post(paths["credentials"], data=b"{", content_type="application/json", headers=headers),
        client.get(paths["credential"], headers=headers),
        client.get(unknown, headers=headers),
        client.get(f"/v1/organisations/{uuid4()}/events", headers=headers),
    ]

    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    said = [{k: v for k, v in (answer.get_json() or {}).items() if k != "request_id"} for answer in answers]
    assert all(one == said[0] for one in said)


def test_postgresql_going_away_is_503_with_retry_after_and_no_stack(
    app: Flask, administrator: SignedIn, services: Services, paths: dict[str, str]
) -> None:
    services.store.close()

    response = administrator("GET", paths["credential"])

    assert (response.status_code, response.json["code"]) == (503, "store_unavailable")
    assert int(response.headers["Retry-After"]) > 0


def test_a_fault_of_ours_tells_nothing_but_where_to_look(app: Flask, client: FlaskClient) -> None:
    @app.get("/fault")
    def fault() -> str:
        raise RuntimeError("the password is hunter2")

    response = client.get("/fault")

    assert response.status_code == 500
    assert response.get_json()["code"] == "internal_error"
    assert response.get_json()["request_id"] == response.headers["X-Request-Id"]
    assert "hunter2" not in response.text


def test_nobody_else_may_script_the_api(client: FlaskClient, administrator: SignedIn) -> None:
    origin = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}

    for response in (
        client.options("/v1/organisations", headers=origin),
        administrator("GET", "/v1/organisations", headers=origin),
    ):
        assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]


def test_head_answers_as_get_without_a_body(administrator: SignedIn, paths: dict[str, str]) -> None:
    got, head = administrator("GET", paths["credential"]), administrator("HEAD", paths["credential"])

    assert (head.status_code, head.text) == (200, "")
    assert head.headers["ETag"] == got.headers["ETag"]


@pytest.mark.parametrize("given_id", ["incident-42", "a" * 128])
def test_a_request_keeps_the_id_that_it_came_with(administrator: SignedIn, given_id: str) -> None:
    assert (
        administrator("GET", "/v1/organisations", headers={"X-Request-Id": given_id}).headers["X-Request-Id"]
        == given_id
    )


@pytest.mark.parametrize("given_id", ["", "a b", "a" * 129, "é", '"><script>'])
def test_a_request_id_that_could_forge_a_log_line_is_replaced(administrator: SignedIn, given_id: str) -> None:
    answered = administrator("GET", "/v1/organisations", headers={"X-Request-Id": given_id}).headers["X-Request-Id"]

    assert UUID(answered)


# --- every code that can be answered is explained ---------------------------------------------------------------------


def _codes_in_the_source() -> Iterator[str]:
    """The codes that InvalidValue is given anywhere, as literals."""
    root = Path(__file__).parents[2]
    for path in (p for package in ("ledger", "projections", "api") for p in (root / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            place = {"InvalidValue": 2, "problem": 1}.get(name)
            code = node.args[place] if place is not None and len(node.args) > place else None
            if isinstance(code, ast.Constant):
                yield str(code.value)


def _codes_of_errors(error: type[errors.LedgerError] = errors.LedgerError) -> Iterator[str]:
    for subclass in error.__subclasses__():
        yield subclass.code
        yield from _codes_of_errors(subclass)


def test_every_code_that_can_be_answered_is_explained_and_no_other(client: FlaskClient) -> None:
    words = {code for _, code in problems._CODES_BY_WORDS}
    codes = {*_codes_in_the_source(), *_codes_of_errors(), *problems.HTTP_CODES.values(), *words}

    assert codes == set(problems.MEANINGS)
    for code in codes:
        told = client.get(f"/problems/{code}")
        assert told.status_code == 200
        assert told.get_json() == {
            "type": f"/problems/{code}",
            "code": code,
            "title": problems.title(code),
            "meaning": problems.MEANINGS[code],
        }


def test_every_error_of_the_ledger_has_a_status() -> None:
    def below(error: type[errors.LedgerError]) -> Iterator[type[errors.LedgerError]]:
        for subclass in error.__subclasses__():
            yield subclass
            yield from below(subclass)

    assert [e for e in below(errors.LedgerError) if not set(e.__mro__) & set(problems.STATUS)] == []


def test_a_viewer_who_may_not_write_records_nothing(sign_in: SignIn, services: Services, paths: dict[str, str]) -> None:
    viewer = sign_in(Role.VIEWER)
    head = services.log.head()

    assert viewer("POST", paths["credentials"], KEY).json["code"] == "forbidden"
    assert services.log.head() == head
