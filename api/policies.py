"""Policies for auditors (C2SP tlog-policy): whose signatures to believe, which witnesses, and the labels of logs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from api.wiring import Services
from api.witnesses import served_policy, witness_policy
from ledger.errors import NotSealedYet
from ledger.sealed_log import SealedLog
from ledger.tlog.policy import Policy
from projections.sealed.reading import find_tree
from projections.sealed.signing import keys_in_use, signer_key
from projections.sealed.trees import ROOT, Connection, origin_of


def auditors_policy(services: Services, connection: Connection, log: SealedLog, trees: Sequence[UUID]) -> Policy:
    """The policy for whoever checks these trees: the keys that sign them now, and their labels in the root log.

    A key that was replaced is in it until its overlap is over, and no longer. Raises `NotSealedYet` for a tree that
    has no label yet, as nothing in it was sealed.
    """
    in_use = keys_in_use(services.keyring, log, datetime.now(UTC))
    keys = [signer_key(services.keyring, log, key, tree).verifier for tree in trees for key in in_use]
    labels = {origin_of(log.base, tree): _label(connection, tree) for tree in trees if tree != ROOT}
    return served_policy(witness_policy(services.settings), keys, labels)


def _label(connection: Connection, tree: UUID) -> str:
    found = find_tree(connection, tree)
    if found is None:
        raise NotSealedYet("nothing of this log is sealed yet")
    return found.label
