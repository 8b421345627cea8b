"""Signing in and out of the console, and how long that lasts."""

import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from flask import Flask

from api.app import create_app
from api.attempts import FailedAttempts
from api.wiring import Services
from ledger.commands import RemoveOperator
from ledger.issuing import issue_operator_rotation
from ledger.store.housekeeping import keep_house
from ledger.values import Mode, Role
from tests import given
from tests.console.conftest import SAME_ORIGIN, Reader, SignIn

HOME = "/console/organisations"


def signed_in(reader: Reader) -> bool:
    """Whether the console lets them in."""
    answer = reader.read(HOME)
    assert answer.status_code in (200, 303)
    return answer.status_code == 200


def age(services: Services, **by: float) -> None:
    """Every session was opened and used so much earlier, as far as the database knows."""
    services.store.rows(
        "UPDATE console_session SET created_at = created_at - %(by)s, last_seen_at = last_seen_at - %(by)s, "
        "expires_at = expires_at - %(by)s RETURNING 1",
        {"by": timedelta(**by)},
    )


def test_a_token_opens_a_session_and_signing_out_ends_it(services: Services, stranger: Reader) -> None:
    _, token = given.an_operator(services)

    assert stranger.sign_in(token).headers["Location"] == "/console/"
    assert signed_in(stranger)

    csrf = stranger.read(HOME).text.partition('name="csrf" value="')[2].partition('"')[0]
    out = stranger.send("/console/sign-out", {"csrf": csrf})
    assert (out.status_code, out.headers["Clear-Site-Data"]) == (303, '"cache", "storage"')
    assert not signed_in(stranger)


def test_a_session_that_was_ended_is_ended_for_a_cookie_that_was_kept(services: Services, app: Flask) -> None:
    first, second = Reader(app.test_client()), Reader(app.test_client())
    first.sign_in(given.an_operator(services)[1])
    kept = first.client.get_cookie("keyledger")
    assert kept is not None
    second.client.set_cookie("keyledger", kept.value)
    assert signed_in(second)

    csrf = first.read(HOME).text.partition('name="csrf" value="')[2].partition('"')[0]
    first.send("/console/sign-out", {"csrf": csrf})

    assert not signed_in(second)


def test_any_worker_knows_the_session(services: Services, stranger: Reader, open_another: object) -> None:
    stranger.sign_in(given.an_operator(services)[1])
    cookie = stranger.client.get_cookie("keyledger")
    other_worker = Reader(create_app(open_another()).test_client())  # type: ignore[operator]

    assert cookie is not None
    other_worker.client.set_cookie("keyledger", cookie.value)

    assert signed_in(other_worker)


def test_the_table_holds_nothing_that_signs_anyone_in(services: Services, stranger: Reader) -> None:
    stranger.sign_in(given.an_operator(services)[1])
    cookie = stranger.client.get_cookie("keyledger")
    row = services.store.row("SELECT * FROM console_session")

    assert cookie is not None
    assert row is not None
    assert cookie.value not in str(row)
    assert bytes(row["digest"]) != cookie.value.encode()


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(services: Services, stranger: Reader) -> None:
    cookie = stranger.sign_in(given.an_operator(services)[1]).headers["Set-Cookie"]

    assert cookie.startswith("keyledger=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


def test_behind_tls_the_cookie_is_bound_to_the_host_and_never_sent_in_clear(services: Services) -> None:
    behind_tls = replace(services, settings=replace(services.settings, issuer="https://keys.example.com"))
    reader = Reader(create_app(behind_tls).test_client())

    cookie = reader.sign_in(given.an_operator(services)[1]).headers["Set-Cookie"]

    assert cookie.startswith("__Host-keyledger=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))


@pytest.mark.parametrize(("unused", "still_in"), [({"minutes": 29}, True), ({"minutes": 31}, False)])
def test_a_session_ends_when_it_is_not_used(
    services: Services, administrator: Reader, unused: dict[str, float], still_in: bool
) -> None:
    age(services, **unused)
    assert signed_in(administrator) is still_in


def test_a_session_in_use_ends_at_its_longest(services: Services, administrator: Reader) -> None:
    for _ in range(12 * 60 // 20):
        assert signed_in(administrator)
        age(services, minutes=20)

    assert not signed_in(administrator)


def test_a_session_ends_with_the_token_that_opened_it(services: Services, stranger: Reader) -> None:
    operator_id, token = given.an_operator(services)
    stranger.sign_in(token)

    command, _ = issue_operator_rotation(services.keyring.digests, given.context(), operator_id)
    services.ledger.handle(command)

    assert not signed_in(stranger)


def test_a_session_outlives_a_rotation_by_its_overlap_only(services: Services, stranger: Reader) -> None:
    operator_id, token = given.an_operator(services)
    stranger.sign_in(token)
    digests = services.keyring.digests
    command, _ = issue_operator_rotation(digests, given.context(), operator_id, overlap=timedelta(hours=1))
    services.ledger.handle(command)
    assert signed_in(stranger)

    services.store.rows("UPDATE operator_token SET expires_at = now() WHERE expires_at IS NOT NULL RETURNING 1")

    assert not signed_in(stranger)


def test_a_session_ends_when_its_operator_is_removed(services: Services, stranger: Reader) -> None:
    given.an_operator(services, name="Somebody else")
    operator_id, token = given.an_operator(services)
    stranger.sign_in(token)

    services.ledger.handle(RemoveOperator(context=given.context(), operator_id=operator_id))

    assert not signed_in(stranger)


def test_housekeeping_removes_sessions_that_are_over(services: Services, administrator: Reader) -> None:
    assert keep_house(services.store, 90, 365).sessions == 0
    age(services, hours=13)
    assert keep_house(services.store, 90, 365).sessions == 1


def test_a_gateways_token_opens_nothing(services: Services, stranger: Reader) -> None:
    _, token = given.an_operator(services, Role.VERIFIER)

    refused = stranger.sign_in(token)

    assert (refused.status_code, "gateway" in refused.text) == (422, True)
    assert "Set-Cookie" not in refused.headers


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 10_000, "kl_operator_live_" + "A" * 36, "Bearer é\x00"])
def test_a_token_that_is_not_good_is_refused_and_not_repeated(stranger: Reader, token: str) -> None:
    refused = stranger.sign_in(token)

    assert refused.status_code == 422
    assert 'aria-invalid="true"' in refused.text
    assert not token or token not in refused.text


def test_whoever_guesses_tokens_is_slowed(services: Services) -> None:
    settings = replace(services.settings, failures_per_address=3)
    reader = Reader(create_app(replace(services, attempts=FailedAttempts(settings))).test_client())
    guess = services.keyring.digests.issue("operator", Mode.LIVE).plaintext

    answers = [reader.sign_in(guess).status_code for _ in range(4)]
    right = reader.sign_in(given.an_operator(services)[1])

    assert answers == [422, 422, 422, 429]
    assert (right.status_code, int(right.headers["Retry-After"]) > 0) == (429, True)


@pytest.mark.parametrize(
    ("wanted", "goes_to"),
    [
        (f"/console/organisations/{UUID(int=7)}/credentials?status=active", None),
        ("https://evil.example/console/", "/console/"),
        ("//evil.example/console/", "/console/"),
        ("/console/\\evil.example", "/console/"),
        ("/v1/organisations", "/console/"),
        ("javascript:alert(1)", "/console/"),
        ("//[", "/console/"),
        ("/console/\r\nX: 1", "/console/"),
    ],
)
def test_signing_in_leads_to_the_page_that_was_asked_for_if_it_is_one_of_ours(
    services: Services, stranger: Reader, wanted: str, goes_to: str | None
) -> None:
    _, token = given.an_operator(services)

    answer = stranger.send("/console/sign-in", {"token": token, "next": wanted})

    assert answer.headers["Location"] == (goes_to or wanted)


def test_a_page_sends_a_stranger_to_sign_in_and_remembers_where_they_were_going(stranger: Reader) -> None:
    answer = stranger.read(f"{HOME}?cursor=x")

    assert (answer.status_code, answer.headers["Location"]) == (
        303,
        "/console/sign-in?next=/console/organisations?cursor%3Dx",
    )


def test_the_api_takes_no_cookie(administrator: Reader, organisation: UUID) -> None:
    assert administrator.read(f"/v1/organisations/{organisation}").status_code == 401


def test_an_expired_session_leaves_a_form_as_it_is(services: Services, sign_in: SignIn, organisation: UUID) -> None:
    reader = sign_in(Role.ADMINISTRATOR)
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    hidden = reader.hidden(path)
    age(services, hours=13)

    notice = reader.send(path, hidden, SAME_ORIGIN | {"HX-Request": "true", "HX-Target": "dialog"})

    assert (notice.status_code, notice.headers["HX-Retarget"]) == (401, "find [data-notice]")
    assert re.search("session has ended.*still here", notice.text, re.DOTALL)


def test_what_looks_by_itself_leaves_the_page_as_it_is_when_the_session_has_ended(
    services: Services, administrator: Reader, organisation: UUID
) -> None:
    path = f"/console/organisations/{organisation}/exports"
    age(services, hours=13)

    notice = administrator.read(path, **{"HX-Request": "true", "HX-Target": "results"})
    dialog = administrator.read(f"{path}/ask", **{"HX-Request": "true", "HX-Target": "dialog"})

    assert (notice.status_code, notice.headers["HX-Retarget"]) == (401, "main > [data-notice]")
    assert re.search(r'session has ended.*href="/console/sign-in\?next=[^"]*/exports"', notice.text)
    assert "HX-Redirect" not in notice.headers
    assert dialog.headers["HX-Redirect"].startswith("/console/sign-in?next=")
