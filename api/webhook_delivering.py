"""Delivering webhooks: one of the processes that work in the background follows the log and sends what it means.

Whoever holds the advisory lock leads. It queues a delivery for each event and endpoint (`projections/webhook_delivery`)
and sends what is due on a bounded pool of threads. A delivery is remembered after it was sent: a crash in between sends
it again, so every message arrives at least once, under the same id. Of one credential's messages an endpoint gets the
next only when the one before was taken or given up.
"""

import logging
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from api.webhook_sending import post
from api.wiring import Services
from ledger.commands import DisableWebhookEndpoint
from ledger.errors import NotAllowedNow, StaleVersion, StoreUnavailable
from ledger.events import Context
from ledger.service import WEBHOOK_ENDPOINT
from ledger.store.datastore import UNAVAILABLE
from ledger.values import Reason, Via
from ledger.webhook_endpoint import WebhookEndpoint
from ledger.webhooks import signed_headers
from projections.runner import advisory_key, begin_tracking
from projections.webhook_counts import Outcome, WebhookCounts
from projections.webhook_delivery import (
    BATCH,
    LOOKED_THROUGH_MAX,
    RETRY_SECONDS,
    TRACKING,
    Attempt,
    DueDelivery,
    list_due,
    put_off,
    queue_events,
    queue_notices,
    record_attempt,
)

SENT_AT_ONCE_MAX = 32  # threads that wait for receivers more than they work
SENT_AT_ONCE_EACH = 2  # to one endpoint: sixteen that hang do not hold up the others
NOTICE_SECONDS = 86_400.0  # dates are days
JITTER = 0.2  # of a pause at most: what failed together is not tried again together
BUSY_SECONDS = 0.02  # between looks while messages are on their way: the next of a credential follows soon
STOP_CHECK_SECONDS = 0.25
COUNT_SECONDS = 1.0  # finer than any scrape
PUT_OFF_SECONDS = 1.0  # between looks at what waits: what failed meanwhile, a hundred at most, is soon passed by
RETRY_LEAD_SECONDS = 1.0
STOP_SECONDS_MAX = 30.0  # an attempt is bounded by less
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
GONE = 410

logger = logging.getLogger("keyledger.webhooks")


class WebhookDeliverer:
    """Delivers the webhooks of a ledger on threads of its own. Of several processes one delivers at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._on_their_way: dict[DueDelivery, Future[None]] = {}
        self._notices: Iterator[int] | None = None
        self._looked_at = float("-inf")
        self._put_off_at = float("-inf")
        self._counts = WebhookCounts()
        self._counted_at = float("-inf")

    def start(self) -> None:
        """Begin with what an earlier process left."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for what is on its way, and end. What is left is for the next one to start."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._services.store.connect() as connection:
                    self._lead(connection)
            except (*UNAVAILABLE, StoreUnavailable) as error:
                logger.warning("delivering webhooks lost PostgreSQL (%s): trying again", type(error).__name__)
            except Exception:
                logger.exception("delivering webhooks failed: trying again")
            self._stopping.wait(RETRY_LEAD_SECONDS)

    def _lead(self, connection: psycopg.Connection[Any]) -> None:
        """Wait until no other process delivers, then deliver, until stopped."""
        log = self._services.log
        key = advisory_key(log.datastore.schema, "webhooks")
        while not self._stopping.is_set():
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            if row is not None and row[0]:
                break
            self._stopping.wait(log.settings.projection_poll)
        begin_tracking(connection, TRACKING)
        self._notices = None  # what was begun on a connection that was lost
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(log.recorder.notify_channel)))
        with ThreadPoolExecutor(SENT_AT_ONCE_MAX, "webhook") as pool:
            while not self._stopping.is_set():
                more = queue_events(log, connection) == BATCH
                more = self._queue_notices(connection) or more
                more = self._put_off(connection) or more
                self._send_due(connection, pool)
                self._write_counts(connection)
                if not more:
                    self._await_hint(connection)
        self._counts.write(connection)

    def _write_counts(self, connection: psycopg.Connection[Any]) -> None:
        if time.monotonic() - self._counted_at >= COUNT_SECONDS:
            self._counts.write(connection)
            self._counted_at = time.monotonic()

    def _queue_notices(self, connection: psycopg.Connection[Any]) -> bool:
        """Begin the daily look, or go on with it: a batch at a time, between which messages are sent. Returns whether
        there is more of it.
        """
        if self._notices is None:
            if time.monotonic() - self._looked_at < NOTICE_SECONDS:
                return False
            self._notices = queue_notices(connection, datetime.now(UTC), self._services.settings.rotation_days)
        if next(self._notices, None) is not None:
            return True
        self._notices, self._looked_at = None, time.monotonic()
        return False

    def _put_off(self, connection: psycopg.Connection[Any]) -> bool:
        """Put off what waits for a message that failed. Returns whether there may be much more of it."""
        if time.monotonic() - self._put_off_at < PUT_OFF_SECONDS:
            return False
        if put_off(connection, datetime.now(UTC), list(self._on_their_way)) >= LOOKED_THROUGH_MAX:
            return True
        self._put_off_at = time.monotonic()
        return False

    def _send_due(self, connection: psycopg.Connection[Any], pool: ThreadPoolExecutor) -> None:
        """Send what is due, as far as there are threads for it."""
        self._on_their_way = {one: future for one, future in self._on_their_way.items() if not future.done()}
        free = SENT_AT_ONCE_MAX - len(self._on_their_way)
        if not free:
            return
        sending: dict[UUID, int] = {}
        for one in self._on_their_way:
            sending[one.endpoint_id] = sending.get(one.endpoint_id, 0) + 1
        due = list_due(
            connection,
            datetime.now(UTC),
            sent_now=list(self._on_their_way),
            busy=[endpoint_id for endpoint_id, number in sending.items() if number >= SENT_AT_ONCE_EACH],
            each=SENT_AT_ONCE_EACH,
            limit=free,
        )
        for one in due:
            number = sending.get(one.endpoint_id, 0)
            if number < SENT_AT_ONCE_EACH:
                sending[one.endpoint_id] = number + 1
                self._on_their_way[one] = pool.submit(self._try_to_deliver, one)

    def _await_hint(self, connection: psycopg.Connection[Any]) -> None:
        """Until something was recorded, a message came to its end, or the next look is due."""
        deadline = time.monotonic() + self._services.settings.projection_poll
        while not self._stopping.is_set() and (left := deadline - time.monotonic()) > 0:
            step = min(left, BUSY_SECONDS if self._on_their_way else STOP_CHECK_SECONDS)
            if any(True for _ in connection.notifies(timeout=step, stop_after=1)):
                return
            if any(future.done() for future in self._on_their_way.values()):
                return

    # --- one message -------------------------------------------------------------------------------------------------

    def _try_to_deliver(self, delivery: DueDelivery) -> None:
        try:
            self._deliver(delivery)
        except StoreUnavailable:
            logger.warning("what came of a webhook was not written: it will be sent again")
            self._stopping.wait(RETRY_LEAD_SECONDS)  # it is still due
        except Exception:
            logger.exception("a webhook could not be delivered: trying again")
            self._stopping.wait(RETRY_LEAD_SECONDS)

    def _deliver(self, delivery: DueDelivery) -> None:
        services = self._services
        endpoint: WebhookEndpoint = services.ledger.load(WEBHOOK_ENDPOINT, delivery.endpoint_id)
        now, body = datetime.now(UTC), delivery.body.encode()
        if endpoint.removed_at is not None or endpoint.disabled_at is not None:
            return  # a moment ago it was not
        signing_secrets = [secret.text for secret in endpoint.live_secrets(now)]
        headers = {
            "Content-Type": CONTENT_TYPE,
            "User-Agent": "keyledger",
            **signed_headers(delivery.message_id, int(now.timestamp()), body, signing_secrets),
        }
        attempt = post(endpoint.url, body, headers, services.settings.webhook_private_addresses)
        next_at = next_attempt_at(delivery.failures, attempt)
        record_attempt(services.store, delivery, attempt, next_at)
        if attempt.delivered:
            self._counts.add(Outcome.DELIVERED)
        else:
            self._counts.add(Outcome.FAILED if next_at is None else Outcome.RETRIED)
        if attempt.status == GONE:
            self._disable(endpoint)

    def _disable(self, endpoint: WebhookEndpoint) -> None:
        command = DisableWebhookEndpoint(
            context=Context(datetime.now(UTC), "system", Via.SYSTEM, reason=Reason("the endpoint answered 410 Gone")),
            endpoint_id=endpoint.id,
            expected_version=endpoint.version,  # one that was moved meanwhile did not answer
        )
        try:
            self._services.ledger.handle(command)
        except (NotAllowedNow, StaleVersion):
            return  # somebody was faster
        self._counts.add(Outcome.DISABLED)
        logger.warning("webhook endpoint %s answered 410 Gone and was disabled", endpoint.id)


def next_attempt_at(failures_before: int, attempt: Attempt) -> datetime | None:
    """When to try again; None where the message was taken, or was tried as often as the schedule has it."""
    if attempt.delivered or failures_before >= len(RETRY_SECONDS):
        return None
    pause = RETRY_SECONDS[failures_before] * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311 - nobody gains by guessing it
    return datetime.now(UTC) + timedelta(seconds=pause)
