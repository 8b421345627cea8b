"""The proof of one event: that the organisation's log holds it, step by step up to the root that was signed."""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response

from api.console.rendering import from_htmx, go_to, render
from api.incoming import services
from api.sealed_log import inclusion, proof_file
from ledger.errors import NotSealedYet
from ledger.tlog import checkpoints
from ledger.tlog.merkle import climb, leaf_hash
from projections.credential_status import find_credential

pages = Blueprint(
    "proofs",
    __name__,
    url_prefix="/organisations/<uuid:organisation_id>/proofs/<uuid:aggregate_id>/<int(min=1, max=2147483647):version>",
)


@pages.get("")
def steps(organisation_id: UUID, aggregate_id: UUID, version: int) -> Response | str:
    """What was sealed, each hash on the way to the root, and the checkpoint that was signed over it. In the moment
    before it is sealed the page says so, and looks again by itself.
    """
    query: dict[str, Any] = {"aggregate_id": aggregate_id, "version": version}
    of_credential = find_credential(services().store, organisation_id, aggregate_id) is not None
    try:
        event, hashes, tree = inclusion(organisation_id, query)
    except NotSealedYet:
        return render("console/proofs/sealing.html", of_credential=of_credential, **query)
    if from_htmx():  # the page that waited for it
        return go_to("console.proofs.steps", organisation_id=organisation_id, **query)
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
        of_credential=of_credential,
        **query,
    )


@pages.get("/file")
def file(organisation_id: UUID, aggregate_id: UUID, version: int) -> Response:
    """The proof as a file, for whoever verifies it without us."""
    return proof_file(organisation_id, {"aggregate_id": aggregate_id, "version": version})
