"""Five companies that never were, each with a year of credentials as one of the five source systems manages them.

A module a system has its tables and its story, in the words of `api/demo/script.py`; what becomes of credentials is in
`api/demo/lives.py`. All of it is recorded in one commit, in the order in which it would have happened, so a ledger has
it whole or not at all.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from random import Random

from api.demo.applications import retailer
from api.demo.channels import messaging
from api.demo.merchants import payments
from api.demo.partner_api import arena, festivals
from api.demo.script import Holding, Script
from api.wiring import Services
from projections.usage import UsageRecorder

# Each with the letters that begin its tickets. A story returns a credential whose secret verifies from anywhere.
STORIES: Mapping[tuple[str, str], Callable[[Script], Holding]] = {
    ("Lanternfield Festivals", "FEST"): festivals,
    ("Ironbridge Arena", "ARENA"): arena,
    ("Copperline Payments", "PAY"): payments,
    ("Swiftword Messaging", "MSG"): messaging,
    ("Marlow & Finch Retail", "SHOP"): retailer,
}


@dataclass(frozen=True, slots=True)
class Told:
    """An organisation's recorded story, how many events it has, and a credential of it to try."""

    script: Script
    example: Holding
    events: int


def tell_all(services: Services, *, now: datetime, seed: int) -> Sequence[Told]:
    """Record all five stories, as they led up to `now`."""
    written = write_all(services, now=now, seed=seed)
    # In the order of time, whichever company it was; what is of one moment stays in the order it was told in.
    commands = [command for script, _ in written for command in script.commands]
    receipts = services.ledger.handle_all(sorted(commands, key=attrgetter("context.at")))
    usage = UsageRecorder(services.store, services.settings.usage_flush)
    for script, _ in written:
        for use in script.uses:
            usage.note(use.credential_id, use.version, use.at)
    usage.flush()
    events = Counter(recorded.organisation_id for receipt in receipts for recorded in receipt.recorded)
    return [Told(script, example, events[script.organisation_id]) for script, example in written]


def write_all(services: Services, *, now: datetime, seed: int) -> Sequence[tuple[Script, Holding]]:
    """The five scripts, nothing of which is recorded, each with the credential to try."""
    written = []
    for (name, prefix), tell in STORIES.items():
        # A source of its own, so that a change in one story leaves the others as they are.
        draw = Random(f"{seed}/{name}")  # noqa: S311 - fates, not secrets
        script = Script(services, now, draw, name, prefix)
        written.append((script, tell(script)))
    return written
