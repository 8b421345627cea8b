"""Idempotency-Key: a retry gets the first answer again, and nothing is done twice, however the two race."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from flask import Flask
from psycopg import sql

from api.wiring import Services
from ledger.settings import Settings
from ledger.store.housekeeping import ANSWER_MINUTES, keep_house
from ledger.store.keys import Keyring
from ledger.values import Mode
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn

KEY = {"kind": "api_key", "mode": "test", "preset": "read_only"}
AT_ONCE = 8


@pytest.fixture
def credentials(organisation: UUID) -> str:
    return f"/v1/organisations/{organisation}/credentials"


def events(services: Services) -> int:
    """How many events the log holds: positions have no gaps."""
    return services.log.head()


def test_a_retry_gets_the_same_answer_secret_included_and_records_nothing(
    administrator: SignedIn, services: Services, credentials: str
) -> None:
    key = {"Idempotency-Key": str(uuid4())}

    first = administrator("POST", credentials, KEY, key)
    head = events(services)
    again = administrator("POST", credentials, KEY, key)

    assert first.status_code == again.status_code == 201
    assert again.text == first.text
    assert "secret" in again.json
    for header in ("ETag", "Location", "Keyledger-Position"):
        assert again.headers[header] == first.headers[header]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert events(services) == head


def test_nothing_that_is_kept_of_a_request_lets_its_password_be_tried(
    administrator: SignedIn, services: Services, credentials: str
) -> None:
    login = {"kind": "channel_login", "mode": "test", "channel": "ftp", "preset": "read_only", "login": "ada"}
    body = orjson.dumps(login | {"secret": "plum-Tractor-osmosis-41"})
    headers = {"Idempotency-Key": "own", "Authorization": f"Bearer {administrator.token}"}

    made = administrator.client.post(credentials, data=body, headers=headers, content_type="application/json")

    assert made.status_code == 201, made.text
    row = services.store.row("SELECT fingerprint FROM ledger_idempotency WHERE key = 'own'")
    asked = f"POST\n{credentials}\n\n".encode() + body
    assert row is not None
    assert bytes(row["fingerprint"]) not in (sha256(asked).digest(), sha256(sha256(asked).digest()).digest())


def test_a_retry_is_known_after_the_master_key_was_rotated() -> None:
    before, after = Keyring([b"o" * 32]), Keyring([b"n" * 32, b"o" * 32])
    assert before.fingerprints(b"asked")[0] in after.fingerprints(b"asked")
    assert before.fingerprints(b"asked")[0] != after.fingerprints(b"asked")[0]


def test_a_retry_of_a_change_is_answered_though_its_version_is_stale_by_now(
    administrator: SignedIn, credentials: str
) -> None:
    created = administrator("POST", credentials, KEY)
    headers = {"Idempotency-Key": "rename", "If-Match": created.headers["ETag"]}

    first = administrator("PATCH", created.headers["Location"], {"name": "Billing"}, headers)
    again = administrator("PATCH", created.headers["Location"], {"name": "Billing"}, headers)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.text == first.text


@pytest.mark.parametrize(
    "change",
    [
        {"body": KEY | {"name": "other"}},
        {"path": "{credentials}/{id}/suspend"},
        {"method": "PATCH", "path": "{credentials}/{id}", "headers": {"If-Match": "*"}, "body": {"name": "x"}},
    ],
    ids=["body", "path", "method"],
)
def test_the_key_of_another_request_is_refused(
    administrator: SignedIn, services: Services, credentials: str, change: dict[str, object]
) -> None:
    first = administrator("POST", credentials, KEY, {"Idempotency-Key": "k"})
    head = events(services)
    path = str(change.get("path", credentials)).format(credentials=credentials, id=first.json["id"])
    headers = {"Idempotency-Key": "k", **change.get("headers", {})}  # type: ignore[dict-item]

    other = administrator(str(change.get("method", "POST")), path, change.get("body", {}), headers)

    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert events(services) == head


def test_a_key_belongs_to_the_operator_who_used_it(sign_in: SignIn, credentials: str) -> None:
    ada, grace = sign_in(), sign_in()

    first = ada("POST", credentials, KEY, {"Idempotency-Key": "k"})
    second = grace("POST", credentials, KEY, {"Idempotency-Key": "k"})

    assert first.json["id"] != second.json["id"]
    assert first.json["secret"] != second.json["secret"]


def test_a_refused_command_leaves_its_key_free(administrator: SignedIn, credentials: str) -> None:
    wrong = administrator("POST", credentials, KEY | {"preset": "all"}, {"Idempotency-Key": "k"})
    right = administrator("POST", credentials, KEY, {"Idempotency-Key": "k"})

    assert (wrong.status_code, right.status_code) == (422, 201)


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "k" * 256])
def test_a_key_that_is_none_is_refused(administrator: SignedIn, services: Services, credentials: str, key: str) -> None:
    head = events(services)

    response = administrator("POST", credentials, KEY, {"Idempotency-Key": key})

    assert (response.status_code, response.json["code"]) == (422, "invalid_header")
    assert response.json["errors"][0]["field"] == "Idempotency-Key"
    assert events(services) == head


def _grow_older(settings: Settings, minutes: int) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("UPDATE {}.ledger_idempotency SET created_at = created_at - make_interval(mins => %s)").format(
                sql.Identifier(settings.schema)
            ),
            (minutes,),
        )


@pytest.mark.parametrize("housekeeping", [False, True])
def test_after_ten_minutes_a_retry_is_told_what_the_request_was_about(
    administrator: SignedIn, services: Services, settings: Settings, credentials: str, housekeeping: bool
) -> None:
    key = {"Idempotency-Key": "k"}
    first = administrator("POST", credentials, KEY, key)
    head = events(services)

    _grow_older(settings, ANSWER_MINUTES - 1)
    assert administrator("POST", credentials, KEY, key).text == first.text
    _grow_older(settings, 2)
    if housekeeping:
        keep_house(services.store, 90, 365)
    late = administrator("POST", credentials, KEY, key)

    assert (late.status_code, late.json["code"]) == (409, "idempotency_answer_expired")
    assert late.json["resource_id"] == first.json["id"]
    assert "secret" not in late.json
    assert events(services) == head


def test_a_key_that_housekeeping_has_not_removed_yet_is_still_known(
    administrator: SignedIn, services: Services, settings: Settings, credentials: str
) -> None:
    administrator("POST", credentials, KEY, {"Idempotency-Key": "k"})
    _grow_older(settings, 60 * 25)

    assert (
        administrator("POST", credentials, KEY, {"Idempotency-Key": "k"}).json["code"] == "idempotency_answer_expired"
    )
    keep_house(services.store, 90, 365)
    assert administrator("POST", credentials, KEY, {"Idempotency-Key": "k"}).status_code == 201


# --- at the same time ------------------------------------------------------------------------------------------------


def _at_once(
    app: Flask, caller: SignedIn, method: str, path: str, body: object, headers: dict[str, str]
) -> list[Answer]:
    """The same request from several threads, each with a client of its own."""

    def one(_: int) -> Answer:
        return SignedIn(app.test_client(), caller.token, caller.operator_id)(method, path, body, headers)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(one, range(AT_ONCE)))


def test_of_creations_at_once_one_is_recorded_and_all_get_its_answer(
    app: Flask, administrator: SignedIn, services: Services, credentials: str
) -> None:
    for number in range(5):
        head = events(services)
        answers = _at_once(app, administrator, "POST", credentials, KEY, {"Idempotency-Key": f"k{number}"})

        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
        assert events(services) == head + 2  # created, scopes fixed


@pytest.mark.parametrize("if_match", [True, False])
@pytest.mark.parametrize("command", ["rotate", "suspend", "revoke"])
def test_of_commands_at_once_one_is_recorded_and_all_get_its_answer(
    app: Flask,
    administrator: SignedIn,
    services: Services,
    organisation: UUID,
    credentials: str,
    command: str,
    if_match: bool,
) -> None:
    created, _ = given.a_credential(services, organisation, mode=Mode.TEST)
    headers = {"Idempotency-Key": "k"} | ({"If-Match": f'"{created.version}"'} if if_match else {})
    head = events(services)

    answers = _at_once(app, administrator, "POST", f"{credentials}/{created.id}/{command}", {}, headers)

    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
    assert len({answer.text for answer in answers}) == 1
    assert events(services) == head + 1


def test_without_a_key_only_the_first_of_suspensions_at_once_is_recorded(
    app: Flask, administrator: SignedIn, services: Services, organisation: UUID, credentials: str
) -> None:
    created, _ = given.a_credential(services, organisation)
    head = events(services)

    answers = _at_once(app, administrator, "POST", f"{credentials}/{created.id}/suspend", {}, {})

    assert sorted(answer.status_code for answer in answers) == [200] + [409] * (AT_ONCE - 1)
    assert {a.json["code"] for a in answers if a.status_code == 409} == {"credential_already_suspended"}
    assert events(services) == head + 1
