"""A process that delivers webhooks, killed while messages are on their way: the next one sends all of them."""

import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from ipaddress import ip_network

import orjson
import pytest

from api.webhook_delivering import WebhookDeliverer
from api.wiring import Services
from ledger.commands import ResumeCredential, SuspendCredential
from ledger.settings import Settings
from tests import given
from tests.receiving import receiving
from tests.waiting import SECONDS_MAX, until

DELIVERER = """
import sys, threading
from ipaddress import ip_network
from api.webhook_delivering import WebhookDeliverer
from api.wiring import open_services
from ledger.settings import Settings

url, schema, key = sys.argv[1:]
local = (ip_network("127.0.0.0/8"),)
settings = Settings(database_url=url, schema=schema, master_key=key, webhook_private_addresses=local)
with open_services(settings, url) as services:
    WebhookDeliverer(services).start()
    threading.Event().wait()
"""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Those of an installation that may send to this machine."""
    return replace(settings, webhook_private_addresses=(ip_network("127.0.0.0/8"),))


class Answering:
    """So many messages are answered; those after them wait until it is too late."""

    def __init__(self, answered: int) -> None:
        self._left = threading.Semaphore(answered)
        self._waiting: list[bool] = []

    def wait(self, killed: threading.Event) -> None:
        """Whether a message is answered is settled here, once: two come at the same time."""
        if not self._left.acquire(blocking=False):
            self._waiting.append(True)
            killed.wait(SECONDS_MAX)

    def are_left_waiting(self, number: int) -> bool:
        """Whether that many were left without an answer."""
        return len(self._waiting) == number


def test_messages_of_a_killed_process_are_all_sent_by_the_next_and_in_order(
    services: Services, settings: Settings
) -> None:
    organisation = given.an_organisation(services)
    with receiving() as receiver:
        given.a_webhook_endpoint(services, organisation, receiver.url)
        credentials = [given.a_credential(services, organisation)[0].id for _ in range(10)]
        for credential in credentials:
            services.ledger.handle(SuspendCredential(context=given.context(), credential_id=credential))
            services.ledger.handle(ResumeCredential(context=given.context(), credential_id=credential))
        for _ in range(2):
            arguments = [settings.database_url, settings.schema, settings.master_key]
            answering, killed = Answering(5), threading.Event()
            receiver.before_answering = partial(answering.wait, killed)
            with subprocess.Popen([sys.executable, "-c", DELIVERER, *arguments]) as process:
                try:
                    until(partial(answering.are_left_waiting, 2))  # as many as go to one endpoint at once
                finally:
                    process.kill()
            killed.set()
            assert answering.are_left_waiting(2)
        receiver.before_answering = lambda: None
        deliverer = WebhookDeliverer(services)
        deliverer.start()
        try:
            until(lambda: len({one.headers["webhook-id"] for one in receiver.received}) == 30)
        finally:
            deliverer.stop()

    came: dict[str, list[str]] = {}
    for one in receiver.received:
        message = orjson.loads(one.body)
        types = came.setdefault(message["subject"], [])
        if message["type"] not in types:  # the second time a message comes is no matter
            types.append(message["type"])
    assert came == {
        str(credential): ["credential.created", "credential.suspended", "credential.resumed"]
        for credential in credentials
    }
