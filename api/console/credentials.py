"""Credentials of every kind: the list, one credential with all that happened to it, and what can be done to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request

from api import credential_commands, documents, granting, moments, outgoing
from api.accounts import existing as existing_account
from api.applications import existing as existing_application
from api.auditing import shows
from api.auth import READS_HISTORY, WRITES_CREDENTIALS, allow, caller, sees_hints
from api.commanding import Commands
from api.console import creating
from api.console.forms import (
    Form,
    asked,
    attempt,
    carry_out,
    carry_out_all,
    filtered,
    forget_secret,
    listed,
    show_secret,
)
from api.console.organisations import names_of
from api.console.rendering import go_to, good, label, render
from api.credentials import existing, filters_of, listed_then, represent, writable
from api.incoming import now, services
from api.schemas import Why
from api.schemas.credentials import AllowlistIn, CredentialQuery, DescriptionIn, RevocationIn, RotationIn
from api.telling import TOLD, VIA, told
from ledger.commands import Command, EndOverlap, ResumeCredential, SuspendCredential
from ledger.errors import InvalidValue
from ledger.events import Recorded, StoredSecret
from ledger.secret_versions import LIVE_MAX
from ledger.values import (
    Channel,
    Environment,
    Kind,
    LabelKey,
    LabelValue,
    Mode,
    Network,
    RevocationReason,
    Status,
)
from projections.credential_list import list_credentials
from projections.credential_status import list_successors
from projections.history import life_of
from projections.pages import Page
from projections.readings import Shown

pages = Blueprint("credentials", __name__, url_prefix="/organisations/<uuid:organisation_id>/credentials")

# How long both secrets may be good, and how far ahead a revocation may be set, in seconds. What the API takes to the
# second is offered here in steps that people think in.
HOUR, DAY = 3_600, 86_400
OVERLAPS: Mapping[int, str] = {
    0: "End the old secret at once",
    HOUR: "Both good for an hour",
    DAY: "Both good for a day",
    7 * DAY: "Both good for a week",
    30 * DAY: "Both good for 30 days",
}
# While two are good a third cannot be, which is told before somebody chose otherwise.
OF_TWO: Mapping[int, str] = {0: "End both old secrets at once"}
GRACES: Mapping[int, str] = {
    0: "Now",
    HOUR: "In an hour",
    DAY: "In a day",
    7 * DAY: "In a week",
    30 * DAY: "In 30 days",
}

FILTERS: Mapping[str, type[Status | Kind | Mode | Environment | Channel]] = {
    "status": Status,
    "kind": Kind,
    "mode": Mode,
    "environment": Environment,
    "channel": Channel,
}
"""Filters of which one of a few words is chosen."""

# Those that pages lead to and nobody chooses here: they are said, and kept while others are chosen.
FURTHER = ("without_owner", "expiring_before", "due_before", "unused_since", "contact_email", "account", "application")


@dataclass(frozen=True, slots=True)
class Simple:
    """A command that takes nothing but the reason why, and how it is asked for."""

    command: Callable[..., Command]
    title: str
    explanation: str
    done: str


SIMPLE: Mapping[str, Simple] = {
    "suspend": Simple(
        SuspendCredential,
        "Suspend credential",
        "It is refused until you resume it. Nothing else changes, and nothing is lost.",
        "suspended",
    ),
    "resume": Simple(ResumeCredential, "Resume credential", "Its secrets are good again at once.", "resumed"),
    "end-overlap": Simple(
        EndOverlap,
        "Retire the older secret",
        "Of the two good secrets the older one ends now. Whatever still uses it stops working.",
        "overlap_ended",
    ),
}


# --- reading ---------------------------------------------------------------------------------------------------------


@pages.get("")
def listing(organisation_id: UUID) -> Response | str:
    """The list, filtered by what the address says."""
    form, found, status = listed(lambda asked: _found(organisation_id, CredentialQuery().load(asked)))
    page = render(
        "console/credentials/listing.html",
        form=form,
        filters=FILTERS,
        further=FURTHER,
        filtered=filtered(),
        as_of=asked().get("as_of") if status == HTTPStatus.OK else None,
        credentials=found.rows,
        cursor=found.cursor,
    )
    return Response(page, status, mimetype="text/html")


def _found(organisation_id: UUID, query: dict[str, Any]) -> Page:
    """The page that a query asks for, as documents: of the list as it is, or as it was."""
    if "as_of" in query:
        allow(READS_HISTORY, organisation_id)
        documents_then, cursor = listed_then(query, organisation_id)
        return Page([*documents_then], cursor)
    found = list_credentials(
        services().store,
        organisation_id,
        filters_of(query),
        now=now(),
        rotation_days=services().settings.rotation_days,
        cursor=query.get("cursor"),
        limit=query["limit"],
    )
    return Page([outgoing.credential(row) for row in found.rows], found.cursor)


@pages.get("/<uuid:credential_id>")
def detail(organisation_id: UUID, credential_id: UUID) -> str:
    """One credential: what it is, what can be done to it, and all that happened to it."""
    row = existing(organisation_id, credential_id)
    credential = outgoing.credential(row)
    timeline = _timeline(credential_id, row["mode"]) if READS_HISTORY & caller().roles else None
    return render(
        "console/credentials/detail.html",
        credential=credential,
        secrets=_secrets(credential["secrets"]),
        account=documents.account(existing_account(organisation_id, row["account_id"])) if row["account_id"] else None,
        application=_application(organisation_id, row["application_id"]),
        effective=granting.effective_scopes(services(), row),
        superseded_by=list_successors(services().store, organisation_id, credential_id),
        timeline=timeline,
        names=names_of(step.recorded.event.context.actor for step in timeline.steps) if timeline else {},
        overdue=_overdue(row),
        now=now(),
    )


def _application(organisation_id: UUID, application_id: UUID | None) -> documents.Document | None:
    return documents.application(existing_application(organisation_id, application_id)) if application_id else None


ENDED_SECRETS_MAX = 50  # on a page: more than ten years of them, where rotation is due every 90 days


@dataclass(frozen=True, slots=True)
class Secrets:
    """A credential's secrets, newest first: those that have not ended, how many have, and the newest of these."""

    good: list[Mapping[str, Any]]
    ended: int
    ended_newest: list[Mapping[str, Any]]


def _secrets(versions: Sequence[Mapping[str, Any]]) -> Secrets:
    not_ended = good(versions)
    numbers = {one["version"] for one in not_ended}
    ended = [one for one in reversed(versions) if one["version"] not in numbers]
    return Secrets(not_ended[::-1], len(ended), ended[:ENDED_SECRETS_MAX])


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a timeline: as it was recorded, what happened in a word or two, what there is to tell of it, and
    what it changed.
    """

    recorded: Recorded
    what: str
    details: list[str]
    through: str
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What happened to a credential, newest first, and how many older events are not shown."""

    steps: list[Step]
    older: int


# Fields that say again, in other words, what others beside them say; and those that are fixed with the creation, in an
# event of its own that lists them.
_IMPLIED = ("active", "presets", "preset", "scopes", "catalogue_version")


def _timeline(credential_id: UUID, mode: str) -> Timeline | None:
    shows(Shown.HISTORY)
    life = life_of(services().log, None, credential_id)
    if life is None:
        return None
    hints = sees_hints(mode)
    steps = []
    for one, changes in moments.newest_steps(services(), life, hints=hints):
        event = one.event
        secret = getattr(event, "secret", None)
        if isinstance(secret, StoredSecret) and not hints:
            event = replace(event, secret=replace(secret, hint=""))  # type: ignore[call-arg]  # it has that field
        what, _ = TOLD[type(event)]
        via = event.context.via
        shown = {name: change for name, change in changes.items() if name not in _IMPLIED}
        if "secrets" in shown:
            shown["secrets"] = _versions_that_differ(shown["secrets"])
        steps.append(Step(one, what, told(event, erased=life.erased, isolated=True), VIA.get(via, via), shown))
    return Timeline(steps, len(life.recorded) - len(steps))


def _versions_that_differ(change: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the secrets before and after an event those that it changed: all of them, at each of many rotations, would
    grow as their square.
    """
    before, after = ({one["version"]: one for one in change[when] or ()} for when in ("before", "after"))
    return {
        "before": [one for version, one in before.items() if after.get(version) != one],
        "after": [one for version, one in after.items() if before.get(version) != one],
    }


def _overdue(row: Mapping[str, Any]) -> bool:
    due = outgoing.credential(row)["rotation_due_at"]
    return due is not None and due < now()


# --- changing --------------------------------------------------------------------------------------------------------


def _change(
    organisation_id: UUID,
    credential_id: UUID,
    template: str,
    begin: Callable[[dict[str, Any]], Form],
    act: Callable[[dict[str, Any], Form], Response],
    **values: Any,
) -> Response | str:
    """A form about one credential: shown as it begins, or done as it asks."""
    row = writable(organisation_id, credential_id)

    def show(form: Form) -> str:
        return render(template, credential=outgoing.credential(row), form=form, **values)

    return show(begin(row)) if request.method == "GET" else attempt(show, lambda form: act(row, form))


def _back(row: Mapping[str, Any], done: str) -> Response:
    ids = {"organisation_id": row["organisation_id"], "credential_id": row["credential_id"]}
    return go_to("console.credentials.detail", **ids, done=done)


@pages.route("/<uuid:credential_id>/edit", methods=["GET", "POST"])
def edit(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """Its name, description, owner and labels."""

    def begin(row: dict[str, Any]) -> Form:
        form = Form.with_typed(labels=_lines_of(row["labels"]))
        form.typed.update({name: row[name] or "" for name in ("name", "description", "contact_email")})
        return form

    def act(row: dict[str, Any], form: Form) -> Response:
        # What is emptied is meant so, but for the owner: once there is one, there stays one.
        more: dict[str, Any] = {name: "" for name in ("name", "description") if not form.typed.get(name, "").strip()}
        if "labels" in form.typed and _can_be_lines(row["labels"]):
            more["labels"] = _labels(form)
        body = form.load(DescriptionIn(), ("name", "description", "contact_email", "reason"), **more)
        carry_out(form, lambda: credential_commands.describe(row, body, form.version(row["version"])))
        return _back(row, "described")

    return _change(
        organisation_id, credential_id, "console/credentials/edit.html", begin, act, can_be_lines=_can_be_lines
    )


def _can_be_lines(labels: Mapping[str, str]) -> bool:
    """Whether they read back as what they are; one whose name holds `=`, as a program can make it, would not."""
    return not any("=" in name for name in labels)


def _lines_of(labels: Mapping[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in labels.items())


def _labels(form: Form) -> dict[str, str]:
    """The labels that were typed, a line each. Raises `ValidationError` of all lines that are none."""
    found: dict[str, str] = {}

    def read(line: str) -> None:
        name, sign, value = line.partition("=")
        if not sign:
            raise InvalidValue("labels", "is no label like team=payments")
        key = LabelKey(name)
        if key in found:
            raise InvalidValue("labels", f"names {key} again")
        found[key] = LabelValue(value)

    form.lines("labels", read)
    return found


@pages.route("/<uuid:credential_id>/allowlist", methods=["GET", "POST"])
def allowlist(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """Where it may be used from, a line each."""

    def act(row: dict[str, Any], form: Form) -> Response:
        save_allowlist(row, form)
        return _back(row, "restricted")

    return _change(organisation_id, credential_id, "console/credentials/allowlist.html", allowlist_of, act)


def allowlist_of(row: Mapping[str, Any]) -> Form:
    """The form with the credential's allowlist, a line each."""
    return Form.with_typed(allowlist="\n".join(row["allowlist"]))


def save_allowlist(row: Mapping[str, Any], form: Form) -> None:
    """Let the credential be used from where the form says, and from nowhere else."""
    body = form.load(AllowlistIn(), ("reason",), allowlist=form.lines("allowlist", Network))
    carry_out(form, lambda: credential_commands.set_allowlist(row, body, form.version(row["version"])))


def overlaps(versions: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
    """For how long what there is now can go on beside a next secret, in seconds."""
    return OVERLAPS if len(good(versions)) < LIVE_MAX else OF_TWO


@pages.route("/<uuid:credential_id>/rotate", methods=["GET", "POST"])
def rotate(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """Regenerate its keys."""

    def act(row: dict[str, Any], form: Form) -> Response:
        body = form.load(RotationIn(), ("reason",), overlap_seconds=form.number("overlap_seconds"))
        carried = carry_out(form, lambda: credential_commands.rotate(row, body, None))
        return show_secret(carried, form, done="rotated")

    return _change(
        organisation_id,
        credential_id,
        "console/credentials/rotate.html",
        lambda _: Form.with_typed(overlap_seconds=DAY),
        act,
        overlaps=overlaps,
    )


@pages.route("/<uuid:credential_id>/revoke", methods=["GET", "POST"])
def revoke(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """Its end, now or later."""

    def act(row: dict[str, Any], form: Form) -> Response:
        grace = form.number("grace_seconds")
        later = {"effective_at": (now() + timedelta(seconds=grace)).isoformat()} if grace else {}
        body = form.load(RevocationIn(), ("reason", "revocation_reason"), **later)
        carry_out(form, lambda: credential_commands.revoke(row, body, None))
        return _back(row, "revoked_later" if later else "revoked")

    return _change(
        organisation_id,
        credential_id,
        "console/credentials/revoke.html",
        lambda _: Form.with_typed(grace_seconds=0, revocation_reason=RevocationReason.NO_LONGER_USED),
        act,
        graces=GRACES,
        reasons=[(reason.value, label(reason)) for reason in RevocationReason],
    )


@pages.route("/<uuid:credential_id>/<any(suspend, resume, 'end-overlap'):what>", methods=["GET", "POST"])
def simple(organisation_id: UUID, credential_id: UUID, what: str) -> Response | str:
    """What takes nothing but the reason why."""
    asked = SIMPLE[what]

    def act(row: dict[str, Any], form: Form) -> Response:
        body = form.load(Why(), ("reason",))
        carry_out(form, lambda: credential_commands.simple(asked.command, row, body, None))
        return _back(row, asked.done)

    template = "console/credentials/simple.html"
    return _change(organisation_id, credential_id, template, lambda _: Form(), act, asked=asked)


@pages.route("/<uuid:credential_id>/successor", methods=["GET", "POST"])
def successor(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """A credential that takes its place, for other permissions or another system; both are good until it is revoked."""
    allow(WRITES_CREDENTIALS, organisation_id)
    row = writable(organisation_id, credential_id)
    same = {name: str(row[name]) for name in _INHERITED if row[name] is not None}

    def show(form: Form) -> str:
        return creating.show(organisation_id, form, supersedes=outgoing.credential(row))

    if request.method == "GET":
        return show(creating.like(row))
    return attempt(
        show, lambda form: creating.create(organisation_id, form, **same, supersedes=str(row["credential_id"]))
    )


@pages.route("/<uuid:credential_id>/erase", methods=["GET", "POST"])
def erase(organisation_id: UUID, credential_id: UUID) -> Response | str:
    """The end of all that is known of the person behind it, once its identifier was typed."""

    def act(row: dict[str, Any], form: Form) -> Response:
        body = form.load(Why(), ("reason",))

        def make() -> Commands:
            form.confirm(row["public_id"])
            return credential_commands.erase(row, body, None), lambda *states: represent(states[-1])

        carry_out_all(form, make)
        return _back(row, "erased")

    return _change(organisation_id, credential_id, "console/credentials/erase.html", lambda _: Form(), act)


_INHERITED = ("kind", "mode", "environment", "channel", "account_id", "application_id")


@pages.post("/<uuid:credential_id>/stored")
def stored(organisation_id: UUID, credential_id: UUID) -> Response:
    """Back to the credential whose new secret is stored."""
    row = existing(organisation_id, credential_id)
    form = Form(request.form)
    forget_secret(form)
    return _back(row, form.typed.get("done", ""))
