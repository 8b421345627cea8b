"""Audit > Exports: an organisation's events as files, asked for with a reason, fetched as soon as they are sealed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import groupby
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request

from api import documents, export_commands
from api.console.forms import Form, attempt, carry_out, chosen, of_days
from api.console.organisations import names_of
from api.console.rendering import go_to, render
from api.exporting.files import BUNDLE, EventFormat
from api.exporting.parquet_files import is_installed
from api.exports import allow_exports, content, existing, read
from api.incoming import now, services
from api.schemas.exports import ExportFilterIn, ExportIn
from ledger.errors import InvalidValue
from projections.activity import TOPICS
from projections.export_list import list_exports
from projections.exported_files import find_written

pages = Blueprint("exports", __name__, url_prefix="/organisations/<uuid:organisation_id>/exports")

STALLED = timedelta(minutes=1)  # progress is noted every second: what was not for so long was cut off


class Format(StrEnum):
    """What an export can be fetched as."""

    BUNDLE = BUNDLE
    CSV = EventFormat.CSV
    PARQUET = EventFormat.PARQUET
    OCSF = EventFormat.OCSF


EXPLAINED: Mapping[Format, tuple[str, str]] = {
    Format.BUNDLE: ("Bundle", "Proves itself: whoever gets it verifies it without us"),
    Format.CSV: ("CSV", "For spreadsheets"),
    Format.PARQUET: ("Parquet", "For data tools"),
    Format.OCSF: ("OCSF", "For a SIEM"),
}


@dataclass(frozen=True, slots=True)
class File:
    """An export in one format: how far the newest download has come, and what is known of the file that was last handed
    out whole. `running` tells that somebody is fetching it now.
    """

    form: Format
    progress: Mapping[str, Any] | None
    written: Mapping[str, Any] | None
    running: bool


@pages.get("")
def listing(organisation_id: UUID) -> str:
    """The exports that were asked for, newest first. While one of them is on its way the list asks again by itself."""
    allow_exports(organisation_id)
    found = list_exports(services().log, organisation_id, cursor=request.args.get("cursor"))
    exports = [documents.export(*listed) for listed in found.exports]
    return render(
        "console/exports/listing.html",
        exports=exports,
        names=names_of(export["requested_by"] for export in exports),
        going_on=any(export["status"] == "sealing" or _running(export) for export in exports),
        running=_running,
        cursor=found.cursor,
    )


@pages.route("/ask", methods=["GET", "POST"])
def ask(organisation_id: UUID) -> Response | str:
    """Ask for one: which events, for what, and why."""
    allow_exports(organisation_id)

    def act(form: Form) -> Response:
        wanted = form.choice("format", list(Format))
        asked = of_days({name: form.typed[name] for name in ("from", "to") if form.typed.get(name)}, "from", "to")
        lists = {
            "credential_ids": form.lines("credential_ids", _identifier),
            "topics": form.typed.getlist("topics"),
        }
        given = asked | {name: values for name, values in lists.items() if values}
        taken = ExportFilterIn().load(given)
        body = form.load(ExportIn(), ("reason",), personal="personal" in form.typed)
        carried = carry_out(
            form, lambda: export_commands.request(organisation_id, body | {"filter": taken}), documents.export
        )
        ids = {"organisation_id": organisation_id, "export_id": carried.body["id"]}
        return go_to("console.exports.detail", **ids, format=wanted, done="export_requested")

    def show(form: Form) -> str:
        choices = [(value, *words, True) for value, words in _formats().items()]
        return render("console/exports/ask.html", form=form, formats=choices, kinds=_kinds())

    begin = Form.with_typed(format=Format.BUNDLE, credential_ids=request.args.get("credential_id", ""))
    return show(begin) if request.method == "GET" else attempt(show, act)


@pages.get("/<uuid:export_id>")
def detail(organisation_id: UUID, export_id: UUID) -> str:
    """One export, what was asked for, and its files. While one is on its way the page asks again by itself."""
    allow_exports(organisation_id)
    export = read(existing(services(), organisation_id, export_id))
    files = [_file(export, form) for form in _formats()]
    wanted = chosen(Format, "format", Format.BUNDLE)
    return render(
        "console/exports/detail.html",
        export=export,
        files=sorted(files, key=lambda file: file.form is not wanted),  # what was asked for comes first
        wanted=wanted,
        explained=EXPLAINED,
        names=names_of([export["requested_by"]]),
        going_on=export["status"] == "sealing" or any(file.running for file in files),
    )


@pages.get("/<uuid:export_id>/file")
def file(organisation_id: UUID, export_id: UUID) -> Response:
    """What is in it."""
    allow_exports(organisation_id)
    return content(existing(services(), organisation_id, export_id), chosen(Format, "format", Format.BUNDLE))


def _formats() -> dict[Format, tuple[str, str]]:
    """Those that this installation can write, and what they are for."""
    return {form: words for form, words in EXPLAINED.items() if form is not Format.PARQUET or is_installed()}


# The installation's own, which no organisation's tree holds.
_OF_THE_INSTALLATION = ("sealed_log", "signing_key")


def _kinds() -> list[tuple[str, list[str]]]:
    """The kinds of events there are, by what they happen to: each thing, and its topics."""
    return [
        (thing, list(topics))
        for thing, topics in groupby(sorted(TOPICS), key=lambda topic: topic.partition(".")[0])
        if thing not in _OF_THE_INSTALLATION
    ]


def _identifier(line: str) -> UUID:
    try:
        return UUID(line)
    except ValueError:
        raise InvalidValue("credential_ids", "is no id like 0197f3c2-...") from None


def _running(export: Mapping[str, Any]) -> bool:
    """Whether somebody is fetching it."""
    return any(_is_running(progress) for progress in export["downloads"])


def _is_running(progress: Mapping[str, Any]) -> bool:
    return progress["finished_at"] is None and now() - progress["reached_at"] < STALLED


def _file(export: Mapping[str, Any], form: Format) -> File:
    progress = next((one for one in export["downloads"] if one["format"] == form), None)
    written = find_written(services().store, export["id"], form)
    return File(form, progress, written, progress is not None and _is_running(progress))
