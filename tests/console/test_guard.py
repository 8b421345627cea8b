"""What holds for every page of the console, whoever wrote it."""

import re
from collections.abc import Iterator
from html import unescape
from uuid import UUID

import pytest
from flask import Flask

from api.console import guard
from api.exporting.pages import CONTENT_SECURITY_POLICY as OF_PRINT
from api.wiring import Services
from ledger.values import Channel, Mode, Role
from tests import given
from tests.console.conftest import SAME_ORIGIN, Reader, SignIn
from tests.projections.keeping_up import catch_up

SIMPLE = ("suspend", "resume", "end-overlap")
# How the addresses end of what only some may do.
OFFERED = (
    "create",
    "rotate",
    "revoke",
    "suspend",
    "edit",
    "allowlist",
    "successor",
    "new",
    "generate",
    "archive",
    "connect",
    "enrol",
    "roles",
    "rotate-token",
    "remove",
    "register",
    "rotate-secret",
    "disable",
    "enable",
    "open",
    "open-sub",
    "close",
    "change",
    "whitelist",
    "rename",
    "erase",
)


def pages(app: Flask, method: str, **ids: UUID) -> Iterator[str]:
    """The address of every page that takes this method, for these ids."""
    for rule in app.url_map.iter_rules():
        needed = rule.arguments - set(rule.defaults or ())
        if (
            rule.endpoint.startswith("console.")
            and method in (rule.methods or ())
            and needed <= {*ids, "what", "version"}
        ):
            for what in SIMPLE if "what" in needed else ("",):
                given_ids = {
                    name: value for name, value in {**ids, "what": what, "version": 1}.items() if name in needed
                }
                built = rule.build(given_ids)
                assert built is not None
                yield built[1]


@pytest.fixture
def ids(services: Services, organisation: UUID) -> dict[str, UUID]:
    """An organisation and one of everything that it may have."""
    application_id = given.an_application(services, organisation)
    account_id = given.an_account(services, organisation)
    of_both = {"application_id": application_id, "account_id": account_id, "channel": Channel.REST}
    credential_id = given.a_credential(services, organisation, **of_both)[0].id
    endpoint_id = given.a_webhook_endpoint(services, organisation)
    run_id = given.a_bulk_revocation(services, organisation, credential_id)
    of_an_auditor = {
        "export_id": given.an_export(services, organisation),
        "access_review_id": given.an_access_review(services, organisation),
    }
    made = {
        "organisation_id": organisation,
        "credential_id": credential_id,
        "aggregate_id": credential_id,
        "account_id": account_id,
        "application_id": application_id,
        "operator_id": given.an_operator(services, organisation_id=organisation)[0],
        "endpoint_id": endpoint_id,
        "delivery_id": given.a_webhook_delivery(services, organisation, endpoint_id, credential_id),
        "run_id": run_id,
        **of_an_auditor,
    }
    given.sealed(services)
    catch_up(services)
    return made


def test_every_page_is_guarded_and_kept_by_nobody(app: Flask, administrator: Reader, ids: dict[str, UUID]) -> None:
    read = 0
    for path in pages(app, "GET", **ids):
        answer = administrator.read(path)
        assert answer.status_code in (200, 303), path
        policy = OF_PRINT if path.endswith("/print") else guard.CONTENT_SECURITY_POLICY
        assert answer.headers["Content-Security-Policy"] == policy, path
        assert answer.headers["Cache-Control"] == "no-store", path
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["X-Frame-Options"] == "DENY", path
        assert answer.headers["Referrer-Policy"] == "same-origin", path
        read += 1
    assert read >= 27


def test_no_page_holds_what_its_policy_forbids_or_another_hosts_address(
    app: Flask, administrator: Reader, ids: dict[str, UUID]
) -> None:
    for path in pages(app, "GET", **ids):
        page = administrator.read(path).text
        if path.endswith("/print"):
            page = re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL)  # its policy lets it bring just that along
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", page), path
        assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", page), path


def test_the_policy_allows_no_inline_script_or_style_and_no_other_host() -> None:
    assert "default-src 'none'" in guard.CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in guard.CONTENT_SECURITY_POLICY
    assert not re.search(r"unsafe|https?:|\*|nonce", guard.CONTENT_SECURITY_POLICY)


def test_every_page_is_for_whoever_is_signed_in(app: Flask, stranger: Reader, ids: dict[str, UUID]) -> None:
    for path in pages(app, "GET", **ids):
        if path != "/console/sign-in":
            answer = stranger.read(path)
            assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, "/console/sign-in"), path
    for path in pages(app, "POST", **ids):
        if path != "/console/sign-in":
            assert stranger.send(path, {}).status_code == 401, path


# What would do for many forms.
TYPED = {
    "idempotency_key": "6b4c1a86-35c7-4f1e-9c3e-0c4f0a5c3d11",
    "contact_email": "dev@example.com",
    "mode": "live",
    "access_level": "full",
    "overlap_seconds": "0",
    "grace_seconds": "0",
}


def token_of(reader: Reader) -> str:
    """What makes a form one of this session's."""
    page = reader.read("/console/").headers["Location"]
    return reader.read(page).text.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.mark.parametrize(
    ("headers", "csrf"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://["}, True),
        ({}, True),
        (SAME_ORIGIN, False),
    ],
)
def test_no_form_is_taken_from_another_site_or_without_the_sessions_token(
    app: Flask, services: Services, administrator: Reader, ids: dict[str, UUID], headers: dict[str, str], csrf: bool
) -> None:
    typed = TYPED | {"csrf": token_of(administrator) if csrf else "0" * 64}
    head, tried = services.log.head(), 0
    for path in pages(app, "POST", **ids):
        if csrf or path != "/console/sign-in":
            elsewhere = not csrf and administrator.read(path).status_code == 303  # what this is about has another page
            assert administrator.send(path, typed, headers).status_code == (303 if elsewhere else 403), path
            tried += 1

    assert tried >= 18
    assert services.log.head() == head
    assert administrator.read("/console/organisations").status_code == 200  # not even signed out


def test_a_form_of_another_session_is_told_so_and_given_the_new_token(
    administrator: Reader, organisation: UUID
) -> None:
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    hidden = administrator.hidden(path)

    stale = administrator.send(path, hidden | {"csrf": "0" * 64}, SAME_ORIGIN | {"HX-Request": "true"})

    assert (stale.status_code, stale.headers["HX-Retarget"]) == (403, "find [data-notice]")
    assert f'data-fresh-token="{hidden["csrf"]}"' in stale.text


def test_an_older_browser_is_known_by_its_origin(administrator: Reader, organisation: UUID) -> None:
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    answer = administrator.send(path, administrator.hidden(path), {"Origin": "http://localhost"})
    assert answer.status_code == 422


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.VIEWER])
def test_what_a_role_cannot_do_is_not_offered_and_is_refused_if_tried(
    app: Flask, services: Services, sign_in: SignIn, ids: dict[str, UUID], role: Role
) -> None:
    reader, head = sign_in(role, organisation_id=ids["organisation_id"]), services.log.head()
    offered = tuple(f"/{what}" for what in OFFERED)
    organisation = f"/console/organisations/{ids['organisation_id']}"
    credential = f"{organisation}/credentials/{ids['credential_id']}"
    account = f"{organisation}/accounts/{ids['account_id']}"
    readable = (
        credential,
        f"{organisation}/settings/partner-api",
        f"{organisation}/merchants",
        f"{organisation}/accounts",
    )
    for path in (*readable, account, f"{account}/api-keys"):
        page = reader.read(path)
        assert page.status_code == 200
        assert not any(f'{what}"' in page.text for what in offered), path

    for path in pages(app, "GET", **ids):
        if path.endswith(offered):
            assert reader.read(path).status_code == 403, path

    assert services.log.head() == head
    assert ('id="section-history"' in reader.read(credential).text) == (role is Role.AUDITOR)


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.VIEWER])
def test_who_may_only_read_is_refused_by_every_form_that_records_something(
    app: Flask, services: Services, sign_in: SignIn, ids: dict[str, UUID], role: Role
) -> None:
    reader = sign_in(role, organisation_id=ids["organisation_id"])
    typed, head, tried = TYPED | {"csrf": token_of(reader)}, services.log.head(), 0
    for path in pages(app, "POST", **ids):
        if path.endswith(("/sign-in", "/sign-out", "/stored")):
            continue  # these are about one's own session and the secrets that it was shown
        answer = reader.send(path, typed)
        asks = role is Role.AUDITOR and path.endswith("/ask")  # for what auditors are here for, here without a reason
        assert answer.status_code == (422 if asks else 403), path
        assert "signed in anew" not in answer.text, path
        tried += 1

    assert tried >= 40
    assert services.log.head() == head


def test_live_credentials_are_not_offered_without_the_grant_for_production(
    sign_in: SignIn, organisation: UUID, services: Services
) -> None:
    reader = sign_in(Role.OPERATOR, organisation_id=organisation, production=False)
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    live = given.a_credential(services, organisation, mode=Mode.LIVE)[0].id

    page = reader.read(path).text
    refused = reader.fill_in(path, contact_email="dev@example.com", mode="live", access_level="full")

    assert re.search(r'value="live"\s*disabled', page)
    assert refused.status_code == 403
    assert "/rotate" not in reader.read(f"/console/organisations/{organisation}/credentials/{live}").text


def test_another_organisations_pages_are_not_there(
    app: Flask, services: Services, sign_in: SignIn, ids: dict[str, UUID]
) -> None:
    elsewhere = sign_in(Role.ADMINISTRATOR, organisation_id=given.an_organisation(services, "Other"))
    for path in pages(app, "GET", **ids):
        if str(ids["organisation_id"]) in path:
            assert elsewhere.read(path).status_code == 404, path


def test_a_page_that_is_not_there_is_told_as_a_page(administrator: Reader) -> None:
    answer = administrator.read("/console/nowhere/at/all")

    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "There is no such page" in answer.text


def test_files_are_kept_for_as_long_as_their_address_lasts(administrator: Reader) -> None:
    page = administrator.read("/console/organisations").text
    files = re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page)

    assert len(files) >= 4
    for file in files:
        with administrator.read(unescape(file)) as answer:
            assert answer.status_code == 200
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "v=" in file


def test_what_somebody_typed_is_text_on_every_page(
    app: Flask, administrator: Reader, services: Services, organisation: UUID
) -> None:
    typed = '"><img src=x onerror=alert(1)>'
    path = f"/console/organisations/{organisation}/settings/partner-api/create"
    refused = administrator.fill_in(path, contact_email=typed, name=typed, mode="live", access_level="full")
    assert refused.status_code == 422
    made = given.a_credential(services, organisation, name=typed)[0].id
    page = administrator.read(f"/console/organisations/{organisation}/credentials/{made}")

    for text in (refused.text, page.text):
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text
