"""The proof of one event: that the organisation's log holds it, step by step up to the root that was signed."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from api.console.rendering import render
from api.sealed_log import inclusion, proof_file
from ledger.tlog import checkpoints
from ledger.tlog.merkle import climb, leaf_hash

pages = Blueprint(
    "proofs",
    __name__,
    url_prefix="/organisations/<uuid:organisation_id>/proofs/<uuid:aggregate_id>/<int(min=1, max=2147483647):version>",
)


@pages.get("")
def steps(organisation_id: UUID, aggregate_id: UUID, version: int) -> str:
    """What was sealed, each hash on the way to the root, and the checkpoint that was signed over it."""
    query: dict[str, Any] = {"aggregate_id": aggregate_id, "version": version}
    event, hashes, tree = inclusion(organisation_id, query)
    leaf = leaf_hash(event.entry)
    way = list(climb(event.index, tree.size, leaf, hashes))
    signed = checkpoints.parse(tree.checkpoint.partition("\n\n")[0] + "\n")
    root = way[-1][1] if way else leaf
    return render(
        "console/proofs/steps.html",
        event=event,
        entry=event.entry.decode(),
        leaf=leaf,
        steps=[(on_left, sibling, node) for (on_left, node), sibling in zip(way, hashes, strict=True)],
        root=root,
        signed=signed,
        holds=root == signed.root,
        checkpoint=tree.checkpoint,
        aggregate_id=aggregate_id,
        version=version,
    )


@pages.get("/file")
def file(organisation_id: UUID, aggregate_id: UUID, version: int) -> Response:
    """The proof as a file, for whoever verifies it without us."""
    return proof_file(organisation_id, {"aggregate_id": aggregate_id, "version": version})
