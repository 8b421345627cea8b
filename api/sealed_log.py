"""The provable log over HTTP: checkpoints, tiles and proofs, in the formats of C2SP.

An organisation's log is its own, and its auditors see no other. The root log, in which the heads of all are entered
behind random labels, is for every auditor; the installation's for those of all organisations.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import flask
from flask import Flask, Response
from flask_smorest import Blueprint

from api import outgoing
from api.auditing import shows
from api.auth import READS_HISTORY, allow, authenticate, caller
from api.incoming import StrictParser, now, services
from api.organisations import existing as existing_organisation
from api.policies import auditors_policy
from api.schemas.sealed_log import (
    ConsistencyProofOut,
    ConsistencyQuery,
    EventProofOut,
    EventProofQuery,
    RootCheckpointQuery,
    SealedLogOut,
    TimestampProofOut,
)
from api.witnesses import served_policy, witness_policy
from ledger.errors import InvalidValue, NotFound, NotSealedYet
from ledger.sealed_log import SealedLog
from ledger.tlog import checkpoints, policy, proofs
from ledger.tlog.canonical import encode_base64
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import HASH_BYTES
from ledger.tlog.tiles import InvalidTile, encode_bundle, parse_tile_path
from projections.readings import Shown
from projections.sealed import attested, reading
from projections.sealed.attested import Attested
from projections.sealed.evidence import root_entries
from projections.sealed.reading import SealedEvent, SealedHead
from projections.sealed.sealer import sealed_log
from projections.sealed.signing import keys_in_use, signer_key, verifier_keys
from projections.sealed.trees import INSTALLATION, ROOT, Connection, Tree, origin_of, tree_of

ORGANISATION = "/v1/organisations/<uuid:organisation_id>/ledger"
# What never changes may be kept for ever, by whoever was allowed to see it.
IMMUTABLE = {"Cache-Control": "private, max-age=31536000, immutable"}

blueprint = Blueprint(
    "Provable log",
    __name__,
    description="Checkpoints and proofs of what happened, for whoever does not want to take our word for it.",
)
blueprint.ARGUMENTS_PARSER = StrictParser()
blueprint.before_request(authenticate)


@contextmanager
def _connection() -> Iterator[Connection]:
    with services().store.cursor_of_tuples() as curs:
        yield curs.connection


def _of_organisation(organisation_id: UUID) -> UUID:
    """The tree of an organisation, for those who may read what happened there."""
    allow(READS_HISTORY, organisation_id)
    existing_organisation(organisation_id)
    return organisation_id


def _root() -> UUID:
    """The root tree, for whoever may read what happened somewhere."""
    allow(READS_HISTORY, caller().organisation_id)
    return ROOT


def _installation() -> UUID:
    """The tree of what concerns no organisation, for operators of all of them."""
    allow(READS_HISTORY)
    return INSTALLATION


def _signed(connection: Connection, tree: UUID) -> Tree:
    """A tree that has a checkpoint."""
    found = reading.find_tree(connection, tree)
    if found is None or not found.checkpoint:
        raise NotSealedYet("there is no signed checkpoint yet")
    return found


def _log() -> SealedLog:
    state = sealed_log(services().log)
    if state is None:
        raise NotSealedYet("the provable log has not begun yet")
    return state


def _described(tree: UUID) -> Response:
    state = _log()
    with _connection() as connection:
        found = _signed(connection, tree)
    return outgoing.answer(
        {
            "origin": origin_of(state.base, tree),
            "label": found.label,
            "size": found.signed_size,
            "signed_at": found.signed_at,
            "keys": [
                signer_key(services().keyring, state, key, tree).verifier.encode()
                for key in keys_in_use(services().keyring, state, now())
            ],
        }
    )


def _checkpoint(tree: UUID) -> Response:
    with _connection() as connection:
        return Response(_signed(connection, tree).checkpoint, mimetype="text/plain")


def _tile(tree: UUID, path: str) -> Response:
    try:
        tile = parse_tile_path(f"tile/{path}")
    except InvalidTile as error:
        raise InvalidValue("path", str(error), "invalid_tile") from None
    with _connection() as connection:
        if tile.leaves > _signed(connection, tree).signed_size:
            raise NotFound("tile")  # what nobody signed may still become another
        if tile.level == "entries":
            entries = reading.find_bundle(connection, tree, tile.index, tile.width)
            found, whole = encode_bundle(entries), len(entries) == tile.width
        else:
            found = reading.find_tile(connection, tree, tile.level, tile.index, tile.width)
            whole = len(found) == tile.width * HASH_BYTES
    if not whole:
        raise NotFound("tile")
    if tile.level == "entries" and tree != ROOT:  # whose entries tell of nothing that happened
        shows(Shown.PROOF)
    return Response(found, headers=IMMUTABLE, mimetype="application/octet-stream")


def _consistency(query: dict[str, Any], tree: UUID) -> Response:
    with _connection() as connection:
        found = _signed(connection, tree)
        old, new = query["old"], query.get("new", found.signed_size)
        if new > found.signed_size:
            raise InvalidValue("new", f"the newest checkpoint covers {found.signed_size}", "out_of_range")
        if old > new:
            raise InvalidValue("old", "is more than the newer size", "out_of_range")
        hashes = reading.consistency_proof(connection, tree, old, new)
    return outgoing.answer({"old": old, "new": new, "hashes": list(map(encode_base64, hashes))})


# --- an organisation's -----------------------------------------------------------------------------------------------


@blueprint.route(ORGANISATION)
@blueprint.doc(operationId="getLedger")
@blueprint.response(200, SealedLogOut)
def organisation_log(organisation_id: UUID) -> Response:
    """Tell of an organisation's provable log."""
    return _described(_of_organisation(organisation_id))


@blueprint.route(f"{ORGANISATION}/checkpoint")
@blueprint.doc(operationId="getLedgerCheckpoint")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def organisation_checkpoint(organisation_id: UUID) -> Response:
    """Get the newest checkpoint of an organisation's log (C2SP tlog-checkpoint)."""
    return _checkpoint(_of_organisation(organisation_id))


@blueprint.route(f"{ORGANISATION}/proofs/consistency")
@blueprint.doc(operationId="getLedgerConsistencyProof")
@blueprint.arguments(ConsistencyQuery(), location="query")
@blueprint.response(200, ConsistencyProofOut)
def organisation_consistency(query: dict[str, Any], organisation_id: UUID) -> Response:
    """Prove that an organisation's log only grew between two sizes."""
    return _consistency(query, _of_organisation(organisation_id))


@blueprint.route(f"{ORGANISATION}/proofs/event")
@blueprint.doc(operationId="getLedgerEventProof")
@blueprint.arguments(EventProofQuery(), location="query")
@blueprint.response(200, EventProofOut)
def event_proof(query: dict[str, Any], organisation_id: UUID) -> Response:
    """Prove that an event is in an organisation's log, and the log's head in the root log."""
    return _event_proof(query, _of_organisation(organisation_id))


def _event_proof(query: dict[str, Any], tree: UUID) -> Response:
    base = _log().base
    with _connection() as connection:
        event = _event(connection, tree, query)
        shown = _shown(connection, event, base)
        head = reading.find_head(connection, tree, shown.head.size)
        if head is not None and head.index >= shown.root.size:
            head = None  # until the root log is signed, in a moment
        document = _inclusion(connection, event, shown.head.size) | {
            "checkpoint": shown.head.checkpoint,
            "head": head and _head_proof(connection, head, shown.root, witnessed=shown.witnessed),
        }
    return outgoing.answer(document)


@blueprint.route(f"{ORGANISATION}/proofs/event.tlog-proof")
@blueprint.doc(operationId="getLedgerEventProofFile")
@blueprint.arguments(EventProofQuery(), location="query")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def event_proof_file(query: dict[str, Any], organisation_id: UUID) -> Response:
    """Get the same proof as a file (C2SP tlog-proof), whose extra data is the entry."""
    return proof_file(organisation_id, query)


def proof_file(organisation_id: UUID, query: dict[str, Any]) -> Response:
    """The proof of an organisation's event (`EventProofQuery`) as a file to be saved."""
    return _proof_file(query, _of_organisation(organisation_id))


def _proof_file(query: dict[str, Any], tree: UUID) -> Response:
    event, hashes, found = _inclusion_of(query, tree)
    proof = proofs.Proof(event.index, tuple(hashes), found.checkpoint.encode(), extra=event.entry)
    name = f"{query['aggregate_id']}-{query['version']}.tlog-proof"
    return Response(
        proofs.encode(proof), headers={"Content-Disposition": f'attachment; filename="{name}"'}, mimetype="text/plain"
    )


def inclusion(organisation_id: UUID, query: dict[str, Any]) -> tuple[SealedEvent, list[bytes], Attested]:
    """Where an event (`EventProofQuery`) stands in an organisation's tree, what proves it, and the tree's checkpoint.

    Raises `NotFound`, and `NotSealedYet` in the moment before it is in a checkpoint.
    """
    return _inclusion_of(query, _of_organisation(organisation_id))


def _inclusion_of(query: dict[str, Any], tree: UUID) -> tuple[SealedEvent, list[bytes], Attested]:
    base = _log().base
    with _connection() as connection:
        event = _event(connection, tree, query)
        found = _shown(connection, event, base).head
        return event, reading.inclusion_proof(connection, tree, event.index, found.size), found


@blueprint.route(f"{ORGANISATION}/proofs/timestamp")
@blueprint.doc(operationId="getLedgerTimestampProof")
@blueprint.arguments(EventProofQuery(), location="query")
@blueprint.response(200, TimestampProofOut)
def timestamp_proof(query: dict[str, Any], organisation_id: UUID) -> Response:
    """Prove that an event was there at a time: the earliest timestamp of an authority (RFC 3161) that covers it."""
    return _timestamp_proof(query, _of_organisation(organisation_id))


def _timestamp_proof(query: dict[str, Any], tree: UUID) -> Response:
    state = _log()
    with _connection() as connection:
        event = _event(connection, tree, query)
        head = reading.first_head_over(connection, tree, event.index)
        stamped = attested.first_timestamp(connection, state.base, head.index) if head is not None else None
        if head is None or stamped is None:
            raise NotFound("timestamp")
        root = Attested(stamped.origin, stamped.size, stamped.checkpoint)
        document = _inclusion(connection, event, head.size) | {
            "text": checkpoints.encode(Checkpoint(head.origin, head.size, head.root)),
            "head": _head_proof(connection, head, root, witnessed=_is_witnessed(state, stamped.checkpoint)),
            "timestamp": encode_base64(stamped.response),
            "stamped_at": stamped.stamped_at,
        }
    return outgoing.answer(document)


@blueprint.route(f"{ORGANISATION}/policy")
@blueprint.doc(operationId="getLedgerPolicy")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def organisation_policy(organisation_id: UUID) -> Response:
    """Get a policy (C2SP tlog-policy) for auditors of an organisation: its log's keys, the root log's, and witnesses.

    It pins the label under which the root log holds this log's heads. Get it once, on a way that you trust, and keep
    it.
    """
    return _policy(_of_organisation(organisation_id), ROOT)


def _event(connection: Connection, tree: UUID, query: dict[str, Any]) -> SealedEvent:
    """The leaf of an event of a tree, which is noted as shown."""
    event = reading.find_event(connection, query["aggregate_id"], query["version"])
    if event is None:
        raise _unknown_or_unsealed(tree, query)
    if event.tree != tree:
        raise NotFound("event")
    shows(Shown.PROOF)
    return event


def _unknown_or_unsealed(tree: UUID, query: dict[str, Any]) -> NotFound | NotSealedYet:
    history = services().log.history(query["aggregate_id"], up_to_version=query["version"]).recorded
    if len(history) < query["version"] or tree_of(history[0].organisation_id) != tree:
        return NotFound("event")
    return NotSealedYet("the event is not in a signed checkpoint yet")


@dataclass(frozen=True, slots=True)
class _Shown:
    """The checkpoints that a proof leads to: of the event's tree, and of the root log."""

    head: Attested
    root: Attested
    witnessed: bool


def _shown(connection: Connection, event: SealedEvent, base: str) -> _Shown:
    """The newest checkpoints that witnesses cosigned, if these have the event; those that are signed otherwise."""
    found = attested.find_witnessed(connection, event.tree, base)
    if found is not None and event.index < found[0].size:
        return _Shown(*found, witnessed=True)
    tree, root = _signed(connection, event.tree), _signed(connection, ROOT)
    if event.index >= tree.signed_size:
        raise NotSealedYet("the event is not in a signed checkpoint yet")
    return _Shown(_attested(tree, base), _attested(root, base), witnessed=False)


def _attested(tree: Tree, base: str) -> Attested:
    return Attested(origin_of(base, tree.tree), tree.signed_size, tree.checkpoint)


def _inclusion(connection: Connection, event: SealedEvent, size: int) -> dict[str, Any]:
    """How a tree of this size holds an event."""
    return {
        "index": event.index,
        "entry": event.entry.decode(),
        "salt": encode_base64(event.salt),
        "hashes": list(map(encode_base64, reading.inclusion_proof(connection, event.tree, event.index, size))),
    }


def _head_proof(connection: Connection, head: SealedHead, root: Attested, *, witnessed: bool) -> dict[str, Any]:
    """How the root log holds a tree's head."""
    return {
        "index": head.index,
        "entry": head.entry.decode(),
        "salt": encode_base64(head.salt),
        "hashes": list(map(encode_base64, reading.inclusion_proof(connection, ROOT, head.index, root.size))),
        "checkpoint": root.checkpoint,
        "witnessed": witnessed,
    }


def _is_witnessed(state: SealedLog, checkpoint: str) -> bool:
    """Whether a quorum of the operator's witnesses cosigned a root checkpoint."""
    witnesses = witness_policy(services().settings)
    keys = verifier_keys(services().keyring, state, ROOT)
    return witnesses is not None and served_policy(witnesses, keys).satisfied(checkpoint.encode())


def _policy(*trees: UUID) -> Response:
    state = _log()
    with _connection() as connection:
        found = auditors_policy(services(), connection, state, trees)
    return Response(policy.encode(found), mimetype="text/plain")


# --- the root log and the installation's -----------------------------------------------------------------------------


@blueprint.route("/v1/ledger/root")
@blueprint.doc(operationId="getRootLedger")
@blueprint.response(200, SealedLogOut)
def root_log() -> Response:
    """Tell of the root log, which holds the heads of all organisations' logs behind random labels."""
    return _described(_root())


@blueprint.route("/v1/ledger/root/checkpoint")
@blueprint.doc(operationId="getRootLedgerCheckpoint")
@blueprint.arguments(RootCheckpointQuery(), location="query")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def root_checkpoint(query: dict[str, Any]) -> Response:
    """Get the newest checkpoint of the root log, or the newest that a quorum of witnesses cosigned."""
    tree = _root()
    if not query["witnessed"]:
        return _checkpoint(tree)
    base = _log().base
    with _connection() as connection:
        found = attested.find_witnessed_root(connection, base)
    if found is None:
        raise NotFound("witnessed checkpoint")
    return Response(found.checkpoint, mimetype="text/plain")


@blueprint.route("/v1/ledger/policy")
@blueprint.doc(operationId="getRootLedgerPolicy")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def root_policy() -> Response:
    """Get a policy (C2SP tlog-policy) for whoever follows the root log: its keys, and the witnesses that cosign it.

    Get it once, on a way that you trust, and keep it.
    """
    return _policy(_root())


@blueprint.route("/v1/ledger/root/entries")
@blueprint.doc(operationId="getRootLedgerEntries")
@blueprint.response(200, content_type="application/x-ndjson", schema={"type": "string"})
def root_log_entries() -> Response:
    """Get all entries of the root log: a label and a salted digest each, of whose log it does not tell.

    With them the offline verifier sees whether a head of an organisation was kept back from its bundle:
    `keyledger audit verify --root-log`.
    """
    _root()
    return Response(root_entries(services().store), mimetype="application/x-ndjson")


@blueprint.route("/v1/ledger/root/proofs/consistency")
@blueprint.doc(operationId="getRootLedgerConsistencyProof")
@blueprint.arguments(ConsistencyQuery(), location="query")
@blueprint.response(200, ConsistencyProofOut)
def root_consistency(query: dict[str, Any]) -> Response:
    """Prove that the root log only grew between two sizes."""
    return _consistency(query, _root())


@blueprint.route("/v1/ledger/installation")
@blueprint.doc(operationId="getInstallationLedger")
@blueprint.response(200, SealedLogOut)
def installation_log() -> Response:
    """Tell of the log of what concerns no organisation: operators of all of them, and the log's own keys."""
    return _described(_installation())


@blueprint.route("/v1/ledger/installation/checkpoint")
@blueprint.doc(operationId="getInstallationLedgerCheckpoint")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def installation_checkpoint() -> Response:
    """Get the newest checkpoint of the installation's log."""
    return _checkpoint(_installation())


@blueprint.route("/v1/ledger/installation/policy")
@blueprint.doc(operationId="getInstallationLedgerPolicy")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def installation_policy() -> Response:
    """Get a policy (C2SP tlog-policy) for whoever checks the installation's log: its keys, the root log's, witnesses.

    Get it once, on a way that you trust, and keep it.
    """
    return _policy(_installation(), ROOT)


@blueprint.route("/v1/ledger/installation/proofs/consistency")
@blueprint.doc(operationId="getInstallationLedgerConsistencyProof")
@blueprint.arguments(ConsistencyQuery(), location="query")
@blueprint.response(200, ConsistencyProofOut)
def installation_consistency(query: dict[str, Any]) -> Response:
    """Prove that the installation's log only grew between two sizes."""
    return _consistency(query, _installation())


@blueprint.route("/v1/ledger/installation/proofs/event")
@blueprint.doc(operationId="getInstallationLedgerEventProof")
@blueprint.arguments(EventProofQuery(), location="query")
@blueprint.response(200, EventProofOut)
def installation_event_proof(query: dict[str, Any]) -> Response:
    """Prove that an event that concerns no organisation is in the installation's log, and its head in the root log."""
    return _event_proof(query, _installation())


@blueprint.route("/v1/ledger/installation/proofs/event.tlog-proof")
@blueprint.doc(operationId="getInstallationLedgerEventProofFile")
@blueprint.arguments(EventProofQuery(), location="query")
@blueprint.response(200, content_type="text/plain", schema={"type": "string"})
def installation_event_proof_file(query: dict[str, Any]) -> Response:
    """Get the same proof as a file (C2SP tlog-proof), whose extra data is the entry."""
    return _proof_file(query, _installation())


@blueprint.route("/v1/ledger/installation/proofs/timestamp")
@blueprint.doc(operationId="getInstallationLedgerTimestampProof")
@blueprint.arguments(EventProofQuery(), location="query")
@blueprint.response(200, TimestampProofOut)
def installation_timestamp_proof(query: dict[str, Any]) -> Response:
    """Prove that such an event was there at a time: the earliest timestamp (RFC 3161) that covers it."""
    return _timestamp_proof(query, _installation())


# --- tiles -----------------------------------------------------------------------------------------------------------

# Their paths have slashes inside, which OpenAPI has no word for: C2SP tlog-tiles describes them.
tiles = flask.Blueprint("tiles", __name__)
tiles.before_request(authenticate)


def _serve(prefix: str, endpoint: str, find: Callable[..., UUID]) -> None:
    def tile(path: str, **of: UUID) -> Response:
        return _tile(find(**of), path)

    tiles.add_url_rule(f"{prefix}/tile/<path:path>", endpoint, tile)


_serve(ORGANISATION, "organisation", _of_organisation)
_serve("/v1/ledger/root", "root", _root)
_serve("/v1/ledger/installation", "installation", _installation)


def register(app: Flask) -> None:
    """Add the routes that the OpenAPI document leaves to C2SP's. Raises SettingsError for a wrong file of witnesses."""
    witness_policy(app.extensions["keyledger"].settings)
    app.register_blueprint(tiles)
