"""Signing in to the console at an identity provider: who is let in, with which roles, and what is not believed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from api.app import create_app
from api.attempts import FailedAttempts
from api.console.identified import operator_id
from api.wiring import Services
from ledger.commands import RemoveOperator
from ledger.errors import SignsInElsewhere
from ledger.issuing import issue_operator_rotation
from ledger.role_grants import RoleGrants
from ledger.values import Identity, Role, Subject, Via
from projections.operator_status import find_operator, list_identified
from tests import given
from tests.a_provider import CLIENT_ID, CLIENT_SECRET, AProvider, a_provider
from tests.console.conftest import Reader
from tests.console.test_sessions import HOME, age, signed_in

BEGIN, ANSWER = "/console/sign-in/provider", "/console/sign-in/provider/answer"


@pytest.fixture
def provider() -> Iterator[AProvider]:
    """A provider that says of everyone that they are in the group of administrators."""
    with a_provider() as running:
        running.claims = {"groups": ["staff", "admins"]}
        yield running


@pytest.fixture
def app(services: Services, provider: AProvider, organisation: UUID) -> Flask:
    """The application, which knows the provider."""
    settings = replace(
        services.settings,
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        oidc_roles=RoleGrants.parse(f"admins=administrator+production; ops=operator,auditor@{organisation}"),
    )
    return create_app(replace(services, settings=settings, attempts=FailedAttempts(settings)))


def sign_in_there(reader: Reader, provider: AProvider, path: str = BEGIN) -> TestResponse:
    """There, and back again."""
    sent = reader.read(path)
    assert sent.status_code == 303, sent.text
    return reader.read(f"{ANSWER}?{provider.agree(sent.headers['Location'])}")


def operators(services: Services, provider: AProvider, subject: str = "ada-1") -> list[dict[str, Any]]:
    """The operators that somebody is."""
    return list_identified(services.store, Identity(provider.issuer, Subject(subject)))


def test_whoever_the_provider_gives_a_role_is_enrolled_and_signed_in(
    services: Services, provider: AProvider, stranger: Reader
) -> None:
    answer = sign_in_there(stranger, provider)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")
    assert signed_in(stranger)
    [row] = operators(services, provider)
    assert (row["name"], row["roles"], row["production"]) == ("Ada Lovelace", ["administrator"], True)
    [recorded] = services.log.history(row["operator_id"]).recorded
    assert (recorded.event.context.actor, recorded.event.context.via) == ("system", Via.CONSOLE)
    assert recorded.event.context.reason == f"Signed in at {provider.issuer}: groups admins"


def test_whoever_comes_again_is_the_same_operator_and_nothing_is_recorded(
    services: Services, provider: AProvider, app: Flask
) -> None:
    sign_in_there(Reader(app.test_client()), provider)
    head = services.log.head()

    assert sign_in_there(Reader(app.test_client()), provider).status_code == 303

    assert services.log.head() == head
    assert len(operators(services, provider)) == 1


def test_other_groups_are_other_roles_and_the_history_says_so(
    services: Services, provider: AProvider, stranger: Reader, organisation: UUID
) -> None:
    sign_in_there(stranger, provider)
    provider.claims = {"groups": "ops"}

    sign_in_there(stranger, provider)

    found = {row["organisation_id"]: (row["roles"], row["production"]) for row in operators(services, provider)}
    assert found == {None: ([], False), organisation: (["auditor", "operator"], False)}
    assert (
        stranger.read(
            "/console/",
        ).status_code
        == 303
    )
    assert str(organisation) in stranger.read("/console/").headers["Location"]


def test_without_a_role_there_is_no_entry_and_older_sessions_end(
    services: Services, provider: AProvider, app: Flask
) -> None:
    before, after = Reader(app.test_client()), Reader(app.test_client())
    sign_in_there(before, provider)
    provider.claims = {"groups": ["staff"]}

    refused = sign_in_there(after, provider)

    assert (refused.status_code, "You have no role here" in refused.text) == (403, True)
    assert not signed_in(after)
    assert not signed_in(before)
    assert [row["roles"] for row in operators(services, provider)] == [[]]

    provider.claims = {"groups": ["admins"]}
    sign_in_there(after, provider)
    assert signed_in(after)


def test_whom_an_administrator_removed_stays_out(services: Services, provider: AProvider, stranger: Reader) -> None:
    sign_in_there(stranger, provider)
    [row] = operators(services, provider)
    services.ledger.handle(RemoveOperator(context=given.context(), operator_id=row["operator_id"]))
    assert not signed_in(stranger)

    assert sign_in_there(stranger, provider).status_code == 403

    assert not signed_in(stranger)


def test_an_organisation_that_there_is_not_gives_no_entry(
    services: Services, provider: AProvider, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = RoleGrants.parse("admins=viewer@01976b3c-9d1a-7c3e-8f00-2b4e5a6c7d8e")
    settings = replace(
        services.settings,
        oidc_issuer=provider.issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        oidc_roles=nowhere,
    )
    reader = Reader(create_app(replace(services, settings=settings)).test_client())

    assert sign_in_there(reader, provider).status_code == 403
    assert "an organisation that there is not" in caplog.text


def test_groups_that_only_the_userinfo_endpoint_tells_count_for_the_same_person_alone(
    provider: AProvider, stranger: Reader
) -> None:
    provider.metadata = {"userinfo_endpoint": f"{provider.issuer}/userinfo"}
    provider.claims, provider.userinfo = {}, {"sub": "somebody-else", "groups": ["admins"]}
    assert sign_in_there(stranger, provider).status_code == 400
    provider.userinfo["sub"] = "ada-1"
    assert sign_in_there(stranger, provider).status_code == 303


def test_an_answer_is_taken_once_and_from_the_browser_that_asked(
    provider: AProvider, app: Flask, stranger: Reader
) -> None:
    answer = provider.agree(stranger.read(BEGIN).headers["Location"])
    other = Reader(app.test_client())
    assert other.read(f"{ANSWER}?{answer}").status_code == 400  # has not begun
    other.read(BEGIN)
    assert other.read(f"{ANSWER}?{answer}").status_code == 400  # has begun another
    assert stranger.read(f"{ANSWER}?{answer}").status_code == 303
    assert stranger.read(f"{ANSWER}?{answer}").status_code == 400


def test_an_answer_to_a_tab_of_before_ends_no_other_sign_in(provider: AProvider, stranger: Reader) -> None:
    first = provider.agree(stranger.read(BEGIN).headers["Location"])
    second = provider.agree(stranger.read(BEGIN).headers["Location"])
    assert stranger.read(f"{ANSWER}?{first}").status_code == 400
    assert stranger.read(f"{ANSWER}?{second}").status_code == 303
    assert stranger.read(f"{ANSWER}?{second}").status_code == 400


def test_what_a_sign_in_remembers_is_in_a_short_lived_cookie_out_of_reach(stranger: Reader) -> None:
    cookie = stranger.read(BEGIN).headers["Set-Cookie"]
    assert cookie.startswith("keyledger-signing-in=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} <= set(cookie.split("; "))


@pytest.mark.parametrize(
    ("wanted", "goes_to"),
    [(HOME, HOME), ("https://evil.example/console/", "/console/"), ("//evil.example", "/console/")],
)
def test_it_leads_to_the_page_that_was_asked_for_if_it_is_one_of_ours(
    provider: AProvider, stranger: Reader, wanted: str, goes_to: str
) -> None:
    assert sign_in_there(stranger, provider, f"{BEGIN}?next={wanted}").headers["Location"] == goes_to


def test_whoever_tries_answers_is_slowed(services: Services, app: Flask, stranger: Reader) -> None:
    app.extensions["keyledger"] = replace(
        app.extensions["keyledger"], attempts=FailedAttempts(replace(services.settings, failures_per_address=2))
    )
    statuses = []
    for _ in range(3):
        stranger.read(BEGIN)
        statuses.append(stranger.read(f"{ANSWER}?code=x&state=x").status_code)
    assert statuses == [400, 400, 429]


@pytest.mark.parametrize(("unused", "still_in"), [({"minutes": 29}, True), ({"minutes": 31}, False)])
def test_a_session_from_there_ends_when_it_is_not_used(
    services: Services, provider: AProvider, stranger: Reader, unused: dict[str, float], still_in: bool
) -> None:
    sign_in_there(stranger, provider)
    age(services, **unused)
    assert signed_in(stranger) is still_in


def test_a_session_from_there_in_use_ends_within_the_hour(
    services: Services, provider: AProvider, stranger: Reader
) -> None:
    sign_in_there(stranger, provider)
    for _ in range(3):
        assert signed_in(stranger)
        age(services, minutes=20)
    assert not signed_in(stranger)


def test_signing_out_offers_to_do_so_there_too_and_leads_there_if_the_provider_has_a_place_for_it(
    provider: AProvider, stranger: Reader
) -> None:
    provider.metadata = {"end_session_endpoint": f"{provider.issuer}/end?x=1"}
    sign_in_there(stranger, provider)
    csrf = stranger.read(HOME).text.partition('name="csrf" value="')[2].partition('"')[0]

    out = stranger.send("/console/sign-out", {"csrf": csrf})

    assert "sign out there too" in stranger.read(out.headers["Location"]).text
    there = urlsplit(stranger.read("/console/sign-out/provider").headers["Location"])
    assert there.path == "/end"
    assert "x=1&client_id=keyledger-console&post_logout_redirect_uri=" in there.query
    assert not signed_in(stranger)


def test_nobody_gets_a_token_that_would_outlast_the_provider(
    services: Services, provider: AProvider, stranger: Reader, organisation: UUID
) -> None:
    sign_in_there(stranger, provider)
    command, _ = issue_operator_rotation(
        services.keyring.digests,
        given.context(),
        operator_id(Identity(provider.issuer, Subject("ada-1")), None),
    )
    with pytest.raises(SignsInElsewhere):
        services.ledger.handle(command)


def test_without_a_provider_nothing_of_it_is_offered(services: Services) -> None:
    reader = Reader(create_app(services).test_client())
    assert "sign-in/provider" not in reader.read("/console/sign-in").text
    assert reader.read(BEGIN).headers["Location"].startswith("/console/sign-in?")


def test_the_operators_page_says_where_one_signs_in(
    services: Services, provider: AProvider, stranger: Reader, app: Flask
) -> None:
    sign_in_there(stranger, provider)
    _, token = given.an_operator(services, Role.ADMINISTRATOR)
    shown = app.test_client().get("/v1/operators", headers={"Authorization": f"Bearer {token}"}).json
    assert shown is not None
    assert (provider.issuer, "ada-1") in [(one["issuer"], one["subject"]) for one in shown["data"]]
    assert find_operator(services.store, UUID(shown["data"][0]["id"])) is not None


def test_a_provider_without_a_place_to_sign_out_is_said_to_have_none(stranger: Reader) -> None:
    answer = stranger.read("/console/sign-out/provider")
    assert (answer.status_code, "do so there" in answer.text) == (404, True)
