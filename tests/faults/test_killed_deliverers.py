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
from tests.receiving import Receiver, receiving
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
            before = len(receiver.received)
            arguments = [settings.database_url, settings.schema, settings.master_key]
            killed = threading.Event()
            receiver.before_answering = partial(_wait_from, receiver, before + 6, killed)
            with subprocess.Popen([sys.executable, "-c", DELIVERER, *arguments]) as process:
                try:
                    until(partial(_received, receiver, before + 7))
                finally:
                    process.kill()
            killed.set()
            assert len(receiver.received) == before + 7
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


def _wait_from(receiver: Receiver, number: int, killed: threading.Event) -> None:
    """Leave this message and those after it without an answer, so that it dies with two on their way, as many as go to
    one endpoint at once.
    """
    if _received(receiver, number):
        killed.wait(SECONDS_MAX)


def _received(receiver: Receiver, number: int) -> bool:
    return len(receiver.received) >= number
