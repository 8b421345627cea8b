"""How many live keys an account may have on a channel, held even where several are created at the same moment.

The account has as many slots on each channel as keys are allowed. A slot is a name that only one credential can hold
(`ledger_claims`), so the store refuses the second of two that want the same one. Revoking a credential, and its expiry,
which nobody records, leave it holding its slot; that is taken over by the next one that needs it.
"""

from collections.abc import Mapping
from dataclasses import replace
from random import choice
from typing import Any
from uuid import UUID

from ledger.commands import CreateCredential
from ledger.credential import CHANNEL_SLOT, Credential, evolve, slot_name
from ledger.errors import ChannelKeyExists
from ledger.settings import CHANNEL_KEYS_MAX
from ledger.store.log import EventLog
from ledger.values import Status

_OVER = (Status.REVOKED, Status.EXPIRED)  # for good; a suspended one can be resumed


def take_slot(
    log: EventLog, command: CreateCredential, decided: Mapping[UUID, Any]
) -> tuple[CreateCredential, UUID | None]:
    """The command with a free slot of its account and channel, and the dead credential that the slot is taken from.

    A command without an account or without a channel needs none. `decided` are the states that commands before it in
    the same commit leave. Raises `ChannelKeyExists` where no key more is allowed.
    """
    if command.account_id is None or command.channel is None:
        return command, None
    names = {slot_name(command.account_id, command.channel, n): n for n in range(1, CHANNEL_KEYS_MAX + 1)}
    rows = log.datastore.rows(
        "SELECT name, aggregate_id FROM ledger_claims WHERE claim = %s AND name = ANY(%s)", (CHANNEL_SLOT, list(names))
    )
    holders = {names[row["name"]]: row["aggregate_id"] for row in rows}
    states: dict[UUID, Any] = {**_states(log, list(holders.values())), **decided}
    for state in decided.values():
        if isinstance(state, Credential) and (state.account_id, state.channel) == (command.account_id, command.channel):
            holders[state.channel_slot] = state.id
    at = command.context.at
    held = {n for n, holder in holders.items() if states[holder].status(states[holder].moment(at)) not in _OVER}
    keys_max = log.settings.channel_keys_max.on(command.channel)
    if len(held) >= keys_max:
        raise ChannelKeyExists(command.channel, len(held), keys_max)
    # Any of them, and not the first: others who ask at the same moment mostly get another.
    slot = choice([n for n in range(1, keys_max + 1) if n not in held])  # noqa: S311 - no secret
    return replace(command, channel_slot=slot), holders.get(slot)


def _states(log: EventLog, credential_ids: list[UUID]) -> dict[UUID, Credential]:
    """The holders as they are, read in one look."""
    found: dict[UUID, Credential] = {}
    for credential_id, recorded in log.histories(credential_ids, _NEWEST).items():
        state: Credential | None = None
        for one in recorded:
            state = evolve(state, one)
        if state is not None:
            found[credential_id] = state
    return found


_NEWEST = 2**62  # beyond every position
