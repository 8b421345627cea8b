"""Webhooks: what happens to a credential is sent to the organisation's endpoints, signed, in order, at least once."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import orjson
import pytest
from flask import Flask
from standardwebhooks import Webhook, WebhookVerificationError

from api import webhook_delivering, webhook_sending
from api.webhook_delivering import WebhookDeliverer
from api.wiring import Services
from ledger.commands import ResumeCredential, RevokeCredential, SuspendCredential
from ledger.settings import Settings
from ledger.values import Channel, EmailAddress, Kind, Login, Mode, Role, Via
from projections import webhook_endpoint_status
from projections.runner import wait_for
from projections.webhook_delivery import RETRY_SECONDS, TRACKING, DueDelivery, list_due
from tests import given
from tests.api.conftest import Answer, SignedIn, SignIn
from tests.conftest import OpenServices
from tests.receiving import Received, Receiver, receiving
from tests.waiting import SECONDS_MAX, until, until_caught_up


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Those of an installation that may send to this machine."""
    return replace(settings, webhook_private_addresses=(ip_network("127.0.0.0/8"),))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def deliverer(services: Services) -> Iterator[WebhookDeliverer]:
    """Delivers, as `keyledger serve` does."""
    running = WebhookDeliverer(services)
    running.start()
    yield running
    running.stop()


def register(caller: SignedIn, organisation: UUID, url: str, **more: Any) -> tuple[str, Any]:
    """The path of a new endpoint, and what registering it answered."""
    answer = caller("POST", f"/v1/organisations/{organisation}/webhooks", {"url": url, **more})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"], answer.json


def checked(secret: str, one: Received) -> Any:
    """The message as a receiver that others wrote reads it."""
    return Webhook(secret).verify(one.body, dict(one.headers))


def suspend(services: Services, credential: UUID) -> None:
    services.ledger.handle(SuspendCredential(context=given.context(reason="INC-1"), credential_id=credential))


def resume(services: Services, credential: UUID) -> None:
    services.ledger.handle(ResumeCredential(context=given.context(), credential_id=credential))


def deliveries(caller: SignedIn, path: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = caller("GET", f"{path}/deliveries{query}").json["data"]
    return found


def wait_for_delivery(caller: SignedIn, path: str, **expected: Any) -> dict[str, Any]:
    """The newest delivery, once it reads as expected."""
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        found = deliveries(caller, path)
        if found and all(found[0][name] == value for name, value in expected.items()):
            return found[0]
        assert time.monotonic() < deadline, found[:1]
        time.sleep(0.02)


def until_looked_at(services: Services) -> None:
    """Whom to tell of all that happened by now is decided."""
    assert wait_for(services.store, TRACKING, services.log.head(), SECONDS_MAX)


# --- what is sent ----------------------------------------------------------------------------------------------------


def test_a_message_is_a_cloud_event_that_a_receiver_of_others_verifies(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    _, endpoint = register(administrator, organisation, receiver.url)
    receipt, _ = given.a_credential(services, organisation)
    services.ledger.handle(RevokeCredential(context=given.context(reason="leaked"), credential_id=receipt.id))

    created, revoked = receiver.wait_for(2)

    assert created.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = checked(endpoint["secret"], revoked)
    assert event["specversion"] == "1.0"
    assert event["id"] == revoked.headers["webhook-id"] != created.headers["webhook-id"]
    assert event["source"] == f"/v1/organisations/{organisation}"
    assert (event["type"], event["subject"]) == ("credential.revoked", str(receipt.id))
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert event["data"] == {
        "credential_id": str(receipt.id),
        "kind": "api_key",
        "mode": "live",
        "environment": None,
        "channel": None,
        "account_id": None,
        "application_id": None,
        "public_id": receipt.state.public_id,
        "version": 3,
        "revocation_reason": "unspecified",
        "effective_at": event["data"]["effective_at"],
    }
    with pytest.raises(WebhookVerificationError):
        checked(endpoint["secret"], replace(revoked, body=revoked.body.replace(b"revoked", b"resumed")))


def test_nothing_secret_and_nothing_personal_is_sent(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    register(administrator, organisation, receiver.url)
    receipt, _ = given.a_credential(
        services,
        organisation,
        kind=Kind.CHANNEL_LOGIN,
        channel=Channel.FTP,
        login=Login("grace.hopper"),
        contact_email=EmailAddress("grace@navy.example"),
        password_hash="$argon2id$grace",
    )
    suspend(services, receipt.id)

    sent = b"".join(one.body for one in receiver.wait_for(2))

    assert not [word for word in (b"grace", b"hopper", b"argon", b"digest", b"INC-1", b"Billing") if word in sent]
    assert orjson.loads(receiver.received[0].body)["data"]["public_id"] is None


def test_an_endpoint_is_sent_its_own_organisations_events_of_its_types_since_it_was_registered(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    other = given.an_organisation(services)
    before, _ = given.a_credential(services, organisation)
    register(administrator, organisation, receiver.url, event_types=["credential.suspended", "credential.resumed"])
    elsewhere, _ = given.a_credential(services, other)
    suspend(services, elsewhere.id)
    suspend(services, before.id)
    resume(services, before.id)

    found = [orjson.loads(one.body) for one in receiver.wait_for(2)]

    assert [(e["type"], e["subject"]) for e in found] == [
        ("credential.suspended", str(before.id)),
        ("credential.resumed", str(before.id)),
    ]


# --- retries and order -----------------------------------------------------------------------------------------------


def test_what_fails_is_sent_again_under_its_id_and_the_credentials_next_waits_for_it(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
    deliverer: WebhookDeliverer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_delivering, "RETRY_SECONDS", (0.2, 0.2))
    receipt, _ = given.a_credential(services, organisation)
    path, endpoint = register(administrator, organisation, receiver.url)
    receiver.answer(500, 302, headers={"Location": f"{receiver.url}/elsewhere"}, body=b"later, please")
    suspend(services, receipt.id)
    resume(services, receipt.id)

    came = receiver.wait_for(4)

    assert [checked(endpoint["secret"], one)["type"] for one in came] == ["credential.suspended"] * 3 + [
        "credential.resumed"
    ]
    assert len({one.headers["webhook-id"] for one in came[:3]}) == 1
    assert {one.path for one in came} == {"/hook"}  # a redirect is not followed
    wait_for_delivery(administrator, path, type="credential.resumed", status="delivered")
    first = deliveries(administrator, path)[1]
    log = administrator("GET", f"{path}/deliveries/{first['id']}").json
    assert [(a["status"], a["response"]) for a in log["log"]] == [
        (500, "later, please"),
        (302, "later, please"),
        (204, ""),
    ]
    assert (log["status"], log["attempts"], log["next_attempt_at"]) == ("delivered", 3, None)
    assert log["body"].encode() == came[0].body


def test_the_schedule_ends_after_days_and_a_failed_message_can_be_replayed_by_hand(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
    deliverer: WebhookDeliverer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert timedelta(days=3) < timedelta(seconds=sum(RETRY_SECONDS)) < timedelta(days=4)
    monkeypatch.setattr(webhook_delivering, "RETRY_SECONDS", (0.01,))
    path, endpoint = register(administrator, organisation, receiver.url)
    receiver.answer(500, 500)
    receipt, _ = given.a_credential(services, organisation)
    failed = wait_for_delivery(administrator, path, status="failed", attempts=2, last_status=500)
    assert deliveries(administrator, path, "?status=failed") == [failed]
    assert deliveries(administrator, path, "?status=pending") == []

    answer = administrator("POST", f"{path}/deliveries/{failed['id']}/replay")

    assert (answer.status_code, answer.json["status"]) == (200, "pending")
    again = receiver.wait_for(3)[2]
    assert again.headers["webhook-id"] == failed["message_id"] == receiver.received[0].headers["webhook-id"]
    assert checked(endpoint["secret"], again)["subject"] == str(receipt.id)
    wait_for_delivery(administrator, path, status="delivered", attempts=3)


def test_what_is_replayed_while_its_last_attempt_fails_is_sent_again(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
    deliverer: WebhookDeliverer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_delivering, "RETRY_SECONDS", (0.01,))
    path, _ = register(administrator, organisation, receiver.url)
    replayed: list[Answer] = []

    def replay() -> None:
        if len(receiver.received) == 2:  # the last attempt there is
            delivery = deliveries(administrator, path)[0]["id"]
            replayed.append(administrator("POST", f"{path}/deliveries/{delivery}/replay"))

    receiver.before_answering = replay
    receiver.answer(500, 500)
    given.a_credential(services, organisation)

    wait_for_delivery(administrator, path, status="delivered", attempts=3)
    assert [answer.json["status"] for answer in replayed] == ["pending"]


def test_an_endpoint_is_tried_with_one_signed_message_whichever_types_it_is_sent(
    administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    path, endpoint = register(administrator, organisation, receiver.url, event_types=["credential.revoked"])

    queued = administrator("POST", f"{path}/test")

    assert queued.status_code == 200
    assert (queued.json["type"], queued.json["status"], queued.json["credential_id"]) == (
        "webhook.test",
        "pending",
        None,
    )
    event = checked(endpoint["secret"], receiver.wait_for(1)[0])
    assert (event["type"], event["subject"]) == ("webhook.test", endpoint["id"])
    assert event["data"] == {"endpoint_id": endpoint["id"]}
    wait_for_delivery(administrator, path, id=queued.json["id"], status="delivered", attempts=1)

    receiver.answer(500)
    refused = administrator("POST", f"{path}/test").json
    wait_for_delivery(administrator, path, id=refused["id"], status="failed", attempts=1, last_status=500)


def test_a_test_that_waits_is_the_one_meant_and_one_that_could_not_be_sent_is_refused(
    administrator: SignedIn, organisation: UUID, receiver: Receiver
) -> None:
    path, _ = register(administrator, organisation, receiver.url)
    first, second = (administrator("POST", f"{path}/test").json["id"] for _ in range(2))
    assert first == second

    administrator("POST", f"{path}/disable")
    assert administrator("POST", f"{path}/test").json["code"] == "webhook_endpoint_disabled"
    administrator("DELETE", path)
    assert administrator("POST", f"{path}/test").json["code"] == "webhook_endpoint_removed"
    assert len(deliveries(administrator, path)) == 1


def test_another_process_goes_on_where_one_ended(
    services: Services,
    open_another: OpenServices,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
) -> None:
    register(administrator, organisation, receiver.url)
    first, second = WebhookDeliverer(services), WebhookDeliverer(open_another())
    first.start()
    receipt, _ = given.a_credential(services, organisation)
    receiver.wait_for(1)
    second.start()
    first.stop()
    suspend(services, receipt.id)
    receiver.wait_for(2)
    second.stop()

    types = [orjson.loads(one.body)["type"] for one in receiver.received]
    assert types == ["credential.created", "credential.suspended"]


def test_an_endpoint_that_hangs_does_not_hold_another_up(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
    deliverer: WebhookDeliverer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_sending, "ATTEMPT_SECONDS", SECONDS_MAX)
    over = threading.Event()
    with receiving() as slow:
        slow.before_answering = lambda: _wait(over)
        hanging, _ = register(administrator, organisation, slow.url)
        for _ in range(5):
            given.a_credential(services, organisation)
        slow.wait_for(2)
        register(administrator, organisation, receiver.url)
        given.a_credential(services, organisation)
        receiver.wait_for(1)
        assert {one["attempts"] for one in deliveries(administrator, hanging)} == {0}  # it hangs still
        over.set()


def _wait(over: threading.Event) -> None:
    over.wait(SECONDS_MAX)


def test_what_is_left_of_one_organisation_does_not_hold_another_up(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    other = given.an_organisation(services, "Another")
    queued: list[UUID] = []
    for owner in (organisation, organisation, organisation, other):
        _, endpoint = register(administrator, owner, "http://127.0.0.1:9/")
        given.a_webhook_delivery(services, owner, UUID(endpoint["id"]), UUID(endpoint["id"]))
        queued.append(UUID(endpoint["id"]))

    def due(limit: int, *sent_now: DueDelivery) -> list[DueDelivery]:
        with services.store.connect() as connection:
            return list_due(connection, datetime.now(UTC), sent_now=sent_now, each=2, limit=limit)

    assert [one.endpoint_id for one in due(2)] == [queued[0], queued[3]]
    assert [one.endpoint_id for one in due(4)] == [queued[0], queued[3], queued[1], queued[2]]
    assert [one.endpoint_id for one in due(1, *due(1))] == [queued[3]]


# --- the metrics -----------------------------------------------------------------------------------------------------


def test_metrics_tell_what_came_of_sending_and_how_long_the_oldest_waits(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_delivering, "RETRY_SECONDS", (0.01,))
    oldest = "keyledger_webhook_oldest_seconds"

    def figures() -> dict[str, float]:
        text = administrator.client.get("/metrics").text
        return {name: float(value) for name, value in re.findall(r"^(keyledger_webhook\S+) (\S+)$", text, re.MULTILINE)}

    def of(outcome: str) -> str:
        return f'keyledger_webhooks_total{{outcome="{outcome}"}}'

    assert all(figures()[of(outcome)] == 0 for outcome in ("delivered", "retried", "failed", "disabled"))
    path, _ = register(administrator, organisation, receiver.url)
    credential = given.a_credential(services, organisation)[0].id
    waiting = given.a_webhook_delivery(services, organisation, UUID(path.rpartition("/")[2]), credential)
    services.store.rows("UPDATE webhook_delivery SET queued_at = now() - interval '1 hour' RETURNING 1")
    assert 3_600 <= figures()[oldest] < 3_700

    deliverer = WebhookDeliverer(services)
    deliverer.start()
    receiver.wait_for(2)  # the one that waited, and the credential's creation
    receiver.answer(500, 500)
    suspend(services, credential)
    wait_for_delivery(administrator, path, status="failed")
    assert administrator("GET", f"{path}/deliveries/{waiting}").json["status"] == "delivered"
    monkeypatch.setattr(webhook_delivering, "RETRY_SECONDS", (60,))
    receiver.answer(410)
    resume(services, credential)
    wait_for_delivery(administrator, path, type="credential.resumed", attempts=1)
    deliverer.stop()

    counted = figures()
    outcomes = {outcome: counted[of(outcome)] for outcome in ("delivered", "retried", "failed", "disabled")}
    assert outcomes == {"delivered": 2, "retried": 2, "failed": 1, "disabled": 1}
    assert counted[oldest] == 0  # what waits for one that is disabled is held up by nothing of ours


# --- the endpoint ----------------------------------------------------------------------------------------------------


def test_a_rotated_secret_overlaps_with_the_one_before(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    path, endpoint = register(administrator, organisation, receiver.url)
    rotated = administrator("POST", f"{path}/rotate-secret", {"overlap_seconds": 3600}).json
    given.a_credential(services, organisation)
    (one,) = receiver.wait_for(1)

    assert len(one.headers["webhook-signature"].split()) == 2
    assert checked(endpoint["secret"], one) == checked(rotated["secret"], one)
    refused = administrator("POST", f"{path}/rotate-secret", {"overlap_seconds": 60})
    assert (refused.status_code, refused.json["code"]) == (409, "two_secrets_live")

    administrator("POST", f"{path}/rotate-secret")
    given.a_credential(services, organisation)
    last = receiver.wait_for(2)[1]
    assert len(last.headers["webhook-signature"].split()) == 1
    with pytest.raises(WebhookVerificationError):
        checked(rotated["secret"], last)


def test_the_secret_is_shown_once_and_sealed_in_the_log(
    services: Services, administrator: SignedIn, organisation: UUID
) -> None:
    path, endpoint = register(administrator, organisation, "https://hooks.example.com/")
    secret = endpoint["secret"]
    assert secret.startswith("whsec_")

    for shown in (path, f"{path}/events", f"/v1/organisations/{organisation}/webhooks"):
        assert secret not in administrator("GET", shown).text
    stored = services.store.rows("SELECT convert_from(state, 'UTF8') AS state FROM ledger_events")
    assert not [row for row in stored if secret in row["state"]]
    assert "signing_secret" not in administrator("GET", f"{path}/events").json["data"][0]["data"]

    administrator("DELETE", path)
    assert services.log.history(UUID(endpoint["id"])).data_key is None


def test_an_endpoint_that_is_gone_is_disabled_by_the_system_and_gets_what_was_left_when_it_is_enabled(
    services: Services,
    administrator: SignedIn,
    organisation: UUID,
    receiver: Receiver,
    deliverer: WebhookDeliverer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_delivering, "RETRY_SECONDS", (0.01,) * 3)
    path, endpoint = register(administrator, organisation, receiver.url)
    receiver.answer(410)
    given.a_credential(services, organisation)
    until(lambda: administrator("GET", path).json["status"] != "enabled")

    context = services.log.history(UUID(endpoint["id"])).recorded[-1].event.context
    assert (context.actor, context.via, context.reason) == ("system", Via.SYSTEM, "the endpoint answered 410 Gone")
    given.a_credential(services, organisation)  # while it is disabled
    until_looked_at(services)
    sent = len(receiver.received)
    assert administrator("POST", f"{path}/enable").json["status"] == "enabled"
    receiver.wait_for(sent + 1)
    wait_for_delivery(administrator, path, status="delivered")
    assert len(deliveries(administrator, path)) == 1


def test_a_410_of_the_address_before_disables_nothing(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    path, _ = register(administrator, organisation, receiver.url)
    receiver.answer(410)
    moved: list[Answer] = []

    def move() -> None:
        if not moved:  # while the first message is on its way
            moved.append(administrator("PATCH", path, {"url": f"{receiver.url}/new"}, {"If-Match": '"1"'}))

    receiver.before_answering = move
    given.a_credential(services, organisation)
    wait_for_delivery(administrator, path, status="pending", attempts=1)
    assert moved[0].status_code == 200, moved[0].text
    given.a_credential(services, organisation)
    receiver.wait_for(2)

    assert administrator("GET", path).json["status"] == "enabled"
    assert receiver.received[1].path == "/hook/new"


def test_a_removed_endpoint_is_sent_nothing_and_is_not_listed(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, deliverer: WebhookDeliverer
) -> None:
    path, _ = register(administrator, organisation, receiver.url)
    given.a_credential(services, organisation)
    receiver.wait_for(1)
    sent = wait_for_delivery(administrator, path, status="delivered")
    assert administrator("DELETE", path, {"reason": "moved"}).json["status"] == "removed"
    given.a_credential(services, organisation)
    until_looked_at(services)
    time.sleep(0.3)

    assert len(receiver.received) == 1
    assert administrator("GET", f"/v1/organisations/{organisation}/webhooks").json["data"] == []
    assert administrator("GET", path).json["status"] == "removed"
    for method, to in (("POST", "/enable"), ("POST", f"/deliveries/{sent['id']}/replay")):
        assert administrator(method, path + to).json["code"] == "webhook_endpoint_removed"


def test_what_is_changed_is_what_was_said(administrator: SignedIn, organisation: UUID) -> None:
    path, endpoint = register(administrator, organisation, "https://hooks.example.com/", description="tickets")
    changed = administrator(
        "PATCH", path, {"description": None, "event_types": ["credential.revoked"]}, {"If-Match": '"1"'}
    ).json

    assert (changed["url"], changed["description"], changed["event_types"]) == (
        endpoint["url"],
        "",
        ["credential.revoked"],
    )
    assert administrator("POST", f"{path}/enable").json["code"] == "webhook_endpoint_not_disabled"
    assert administrator("POST", f"{path}/disable").json["status"] == "disabled"
    assert administrator("POST", f"{path}/disable").json["code"] == "webhook_endpoint_already_disabled"
    assert administrator("PATCH", path, {"url": "https://a.example/"}, {"If-Match": '"1"'}).status_code == 412


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com/", "https://10.0.0.1/", "https://[::1]/", "https://user:pw@hooks.example.com/"]
)
def test_a_url_that_is_never_sent_to_is_refused_at_once(
    app: Flask, administrator: SignedIn, organisation: UUID, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: Services = app.extensions["keyledger"]
    strict = replace(running, settings=replace(running.settings, webhook_private_addresses=()))
    monkeypatch.setitem(app.extensions, "keyledger", strict)
    answer = administrator("POST", f"/v1/organisations/{organisation}/webhooks", {"url": url})
    assert (answer.status_code, answer.json["code"], answer.json["errors"][0]["field"]) == (422, "invalid_url", "url")


def test_an_organisation_has_a_bounded_number_of_endpoints(
    administrator: SignedIn, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_endpoint_status, "ENDPOINTS_MAX", 2)
    paths = [register(administrator, organisation, f"https://hooks.example.com/{n}")[0] for n in range(2)]
    third = {"url": "https://hooks.example.com/3"}

    refused = administrator("POST", f"/v1/organisations/{organisation}/webhooks", third)
    assert (refused.status_code, refused.json["code"]) == (409, "too_many_webhook_endpoints")
    administrator("DELETE", paths[0])
    assert administrator("POST", f"/v1/organisations/{organisation}/webhooks", third).status_code == 201


def test_another_organisations_endpoint_looks_like_none(
    services: Services, administrator: SignedIn, sign_in: SignIn, organisation: UUID
) -> None:
    other = given.an_organisation(services)
    path, _ = register(administrator, other, "https://hooks.example.com/")
    mine = path.replace(str(other), str(organisation))

    assert administrator("GET", mine).status_code == 404
    assert sign_in(Role.ADMINISTRATOR, organisation_id=organisation)("GET", path).status_code == 404


# --- what comes of time ----------------------------------------------------------------------------------------------


def test_dates_are_told_of_once_each(
    services: Services, administrator: SignedIn, organisation: UUID, receiver: Receiver, projector: Any
) -> None:
    _, endpoint = register(
        administrator,
        organisation,
        receiver.url,
        event_types=["credential.rotation_due", "credential.expiring"],
    )
    now = datetime.now(UTC)
    old, _ = given.a_credential(services, organisation, context=given.context(now - timedelta(days=91)))
    ends = now + timedelta(days=3)
    ending, _ = given.a_credential(services, organisation, mode=Mode.TEST, expires_at=ends)
    given.a_credential(services, organisation)
    until_caught_up(services, "credential_list")
    for _ in range(2):
        running = WebhookDeliverer(services)
        running.start()
        receiver.wait_for(2)
        time.sleep(0.3)
        running.stop()

    told = {m["type"]: m for m in (checked(endpoint["secret"], one) for one in receiver.received)}
    assert len(receiver.received) == 2
    assert told["credential.rotation_due"]["subject"] == str(old.id)
    assert told["credential.expiring"]["subject"] == str(ending.id)
    assert datetime.fromisoformat(told["credential.expiring"]["data"]["expires_at"]) == ends
    due = datetime.fromisoformat(told["credential.rotation_due"]["data"]["due_at"])
    assert due == old.state.created_at + timedelta(days=90)
