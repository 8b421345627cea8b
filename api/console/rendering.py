"""Pages from templates: what every template may use, and whether a page is sent whole or as the content of a dialog.

A page that htmx asks for to be shown in the dialog (`hx-target="#dialog"`) is the same template in a smaller frame, so
each works on its own address too, without JavaScript.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from flask import Blueprint, Response, g, render_template, request, url_for
from markupsafe import Markup, escape

from api.auth import (
    MANAGES_OPERATORS,
    MANAGES_WEBHOOKS,
    READS_CREDENTIALS,
    READS_HISTORY,
    READS_OPERATORS,
    TAKES_OUT,
    WRITES_CREDENTIALS,
    may_see_hints,
)
from api.console import sessions
from api.incoming import now
from api.telling import moment, told_topic
from ledger.values import Mode, Role

DIALOG = "dialog"  # the id of the one dialog of a page

_STATIC = Path(__file__).parent / "static"
_DIGEST_CHARS = 12  # tells versions of a file apart


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation: where it leads, what the endpoints of its pages begin with, and for whom it is."""

    title: str
    endpoint: str
    group: tuple[str, ...]
    icon: str
    roles: frozenset[Role] = READS_CREDENTIALS

    @property
    def current(self) -> bool:
        """Whether the page that is asked for is one of these."""
        return (request.endpoint or "").startswith(self.group)

    @property
    def address(self) -> str:
        """Where it leads: in this page's organisation, if it is about one."""
        organisation = g.get("organisation")
        return url_for(self.endpoint, organisation_id=organisation and organisation["organisation_id"])


_SETTINGS = ("console.organisations.settings", "console.partner_api.", "console.operators.", "console.webhooks.")
# What an organisation's navigation offers, in its order. A group of pages is added here and in `api.console.GROUPS`.
PLACES = (
    Place("Overview", "console.organisations.overview", ("console.organisations.overview",), "overview"),
    Place("Apps", "console.applications.listing", ("console.applications.",), "apps"),
    Place("Credentials", "console.credentials.listing", ("console.credentials.", "console.as_of."), "key"),
    Place("Merchants", "console.merchants.listing", ("console.merchants.",), "merchant"),
    Place("Accounts", "console.accounts.listing", ("console.accounts.", "console.channels."), "account"),
    Place("Activity", "console.activity.feed", ("console.activity.",), "activity", READS_HISTORY),
    Place("Dashboard", "console.dashboard.charts", ("console.dashboard.",), "chart", READS_HISTORY),
    Place("Reports", "console.reports.listing", ("console.reports.", "console.bulk_revocations."), "report"),
    Place(
        "Audit",
        "console.access_reviews.listing",
        ("console.access_reviews.", "console.exports."),
        "audit",
        TAKES_OUT,
    ),
    Place("Settings", "console.organisations.settings", _SETTINGS, "settings"),
)
# What the pages that are about no organisation offer to operators of all of them.
PLACES_OF_ALL = (
    Place("Organisations", "console.organisations.choice", ("console.organisations.",), "organisation"),
    Place("Operators", "console.operators.listing", ("console.operators.",), "people", READS_OPERATORS),
)

# What was done, for the page that is shown afterwards. The address names one of these, so it can say nothing else.
DONE: Mapping[str, str] = {
    "organisation_registered": "The organisation was registered.",
    "renamed": "The organisation was renamed.",
    "created": "The credential was created.",
    "rotated": "The keys were regenerated.",
    "revoked": "The credential was revoked.",
    "revoked_later": "The credential will be revoked at the time you chose.",
    "suspended": "The credential is suspended: it is refused until you resume it.",
    "resumed": "The credential is good again.",
    "overlap_ended": "The older secret was retired.",
    "erased": "The personal data was destroyed. The history stays.",
    "described": "Your changes were saved.",
    "restricted": "The allowlist was saved.",
    "account_opened": "The account was opened.",
    "account_described": "The account's details were saved.",
    "account_closed": "The account was closed: no credential of it is good any more.",
    "keys_generated": "The keys were generated.",
    "app_created": "The app was created.",
    "apis_connected": "The connected APIs were saved.",
    "app_archived": "The app was archived. Its credentials are refused from now on.",
    "kept": "The key was kept: nothing was recorded.",
    "enrolled": "The operator was enrolled.",
    "roles_changed": "The roles were changed.",
    "token_rotated": "The token was rotated.",
    "token_overlap_ended": "The older token was retired.",
    "operator_removed": "The operator was removed. Its tokens are refused from now on.",
    "operator_erased": "The operator's name and email were destroyed. What it did stays in the history.",
    "endpoint_registered": "The webhook endpoint was registered.",
    "endpoint_enabled": "The webhook endpoint is sent messages again.",
    "endpoint_disabled": "The webhook endpoint is sent nothing until you enable it.",
    "endpoint_removed": "The webhook endpoint was removed.",
    "endpoint_rotated": "The signing secret was rotated.",
    "test_sent": "The test is sent within seconds. What came of it stands here.",
    "replayed": "The message is sent again within seconds.",
    "replayed_meanwhile": "It was sent again already since you opened the page. What came of it stands here.",
    "review_requested": "The asking was recorded, and here is the review.",
    "export_requested": "The asking was recorded. The export is ready within seconds.",
    "run_started": "The bulk revocation has begun.",
}

# What templates ask for by `may`, and who may do it.
_PERMITTED: Mapping[str, frozenset[Role]] = {
    "write": WRITES_CREDENTIALS,
    "read_history": READS_HISTORY,
    "read_operators": READS_OPERATORS,
    "manage_operators": MANAGES_OPERATORS,
    "manage_webhooks": MANAGES_WEBHOOKS,
    "export": TAKES_OUT,
}

# Where the plain word is not what people say.
_LABELS: Mapping[str, str] = {
    "q": "Search",
    "oauth_client": "OAuth client",
    "api_key": "API key",
    "key_pair": "Key pair",
    "channel_login": "Channel login",
    "ftp": "FTP",
    "rest": "REST",
    "http": "HTTP",
    "web_service": "Web Service",
    "master": "Master account",
    "sub": "Sub-account",
    "merchant": "Merchant account",
    "read_only": "Read-only",
    "ip_not_allowed": "IP not allowed",
    "api_not_connected": "API not connected",
    "api": "the API",
    "console": "the console",
    "command_line": "the command line",
    "system": "the system itself",
}


def prepare(console: Blueprint) -> None:
    """Give the templates what they use."""
    console.app_template_filter("label")(label)
    console.app_template_filter("when")(when)
    console.app_template_filter("day")(day)
    console.app_template_filter("date")(date_of)
    console.app_template_filter("moment")(moment)
    console.app_template_filter("topic")(told_topic)
    console.app_template_filter("sentence")(sentence)
    console.app_template_filter("with_times")(with_times)
    console.app_template_filter("for_field")(for_field)
    console.app_template_filter("for_day")(for_day)
    console.app_template_filter("good")(good)

    @console.context_processor
    def _everywhere() -> dict[str, Any]:
        return {
            "asset": asset,
            "csrf_token": sessions.csrf_token,
            "dialog": DIALOG,
            "done": _done(),
            "fresh_key": lambda: str(uuid4()),
            "may": may,
            "page_address": page_address,
            "organisation": g.get("organisation"),
            "places": places(),
            "session": g.get("session"),
        }


def _done() -> str | None:
    return DONE.get(request.args.get("done", "")) if led_here() else None


def led_here() -> bool:
    """Whether a page of ours led here: a link in a mail or on another site cannot say that something was done. A
    browser that does not tell, as over plain HTTP, is believed.
    """
    return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"


def render(template: str, **values: Any) -> str:
    """A page: whole, or where htmx asks for the dialog's content in the dialog's frame."""
    frame = "console/frames/page.html" if g.get("session") else "console/frames/bare.html"
    if in_dialog():
        frame = "console/frames/dialog.html"
    return render_template(template, frame=frame, in_dialog=in_dialog(), **values)


BESIDE_THE_FORM, ABOVE_THE_PAGE = "find [data-notice]", "main > [data-notice]"


def render_notice(template: str, status: int, place: str = BESIDE_THE_FORM, **values: Any) -> Response:
    """A few words beside the form that was sent, or above what asked by itself; all else stays as it is."""
    headers = {"HX-Retarget": place, "HX-Reselect": "[role=alert]", "HX-Reswap": "innerHTML"}
    return Response(render_template(template, **values), status, headers)


def from_htmx() -> bool:
    """Whether htmx asks, and so for a part of a page."""
    return "HX-Request" in request.headers


def in_dialog() -> bool:
    """Whether what is answered is shown in the page's dialog."""
    return from_htmx() and request.headers.get("HX-Target") == DIALOG


def go_to(endpoint: str, **values: Any) -> Response:
    """On to another page: by htmx's header where the answer would land in a part of this one, else by a redirect."""
    target = url_for(endpoint, **values)
    if from_htmx():
        return Response(status=204, headers={"HX-Redirect": target})
    return Response(status=303, headers={"Location": target})


def page_address(**changes: object) -> str:
    """This page's address with what it asks but for these changes; None takes something away.

    Not by `url_for`, to which some names that anybody can put into an address mean another scheme or host.
    """
    kept = {name: value for name, value in request.args.items() if value and name != "done"} | changes
    query = urlencode({name: value for name, value in kept.items() if value is not None})
    return f"{request.path}?{query}" if query else request.path


def places() -> list[Place]:
    """What the navigation offers to whoever is signed in, on the page that is asked for."""
    session = g.get("session")
    of_all = PLACES_OF_ALL if session and session.caller.organisation_id is None else ()
    return [place for place in (PLACES if g.get("organisation") else of_all) if place.roles & signed_in_roles()]


def signed_in_roles() -> frozenset[str]:
    """The roles of whoever is signed in."""
    session = g.get("session")
    return session.caller.roles if session else frozenset()


def may(what: str, mode: str = "test") -> bool:
    """Whether to offer it, where it is `write` on credentials of a mode. The page behind it asks again."""
    if not _PERMITTED[what] & signed_in_roles():
        return False
    match what:
        case "write":
            return mode != Mode.LIVE or g.session.caller.production
        case "export":
            return may_see_hints(Mode.LIVE)
    return True


def label(word: object) -> str:
    """A word of the ledger as people read it: `oauth_client` as OAuth client."""
    text = str(word)
    return _LABELS.get(text) or text.replace("_", " ").capitalize()


def when(value: datetime | str) -> Markup:
    """A moment: in UTC as it is sent; a script shows it in the reader's zone, with UTC on hover."""
    return _time(value, "%Y-%m-%d %H:%M UTC", "moment")


def day(value: datetime | str) -> Markup:
    """The day of a moment, for tables; the whole of it on hover."""
    return _time(value, "%Y-%m-%d", "day")


def date_of(value: date) -> Markup:
    """A day that is the same in every zone."""
    return Markup('<time datetime="{0}" data-precision="date">{0}</time>').format(value.isoformat())


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)")


def with_times(text: object) -> Markup:
    """A sentence, and each moment in it as `when` shows it."""
    sentence, shown, end = str(text), Markup(), 0
    for found in _MOMENT.finditer(sentence):
        shown += escape(sentence[end : found.start()]) + when(found[0])
        end = found.end()
    return shown + escape(sentence[end:])


_ISOLATE = re.compile("\u2068([^\u2068\u2069]*)\u2069")


def sentence(text: str) -> Markup:
    """What is told of an event: each moment in it as `when` shows it, and what somebody typed, which stands within
    Unicode's isolates, as text in a direction of its own.
    """
    shown, end = Markup(), 0
    for found in _ISOLATE.finditer(text):
        shown += with_times(text[end : found.start()]) + Markup("<bdi>{}</bdi>").format(found[1])
        end = found.end()
    return shown + with_times(text[end:])


_MORE_THAN_A_FIELD_TAKES = re.compile(r"(?:\.\d+)?Z$")


def for_field(moment: str) -> str:
    """A moment in UTC as a browser's field for a date and time takes it: with no zone, and with seconds at most."""
    return _MORE_THAN_A_FIELD_TAKES.sub("", moment)


def for_day(typed: str, edge: str) -> str:
    """A day as a browser's field takes it. Of a moment, as a script sends one for the first or the last day of a
    period: the day in UTC that begins or ends with it. What is neither stays as it was typed.
    """
    if "T" not in typed:
        return typed
    try:
        moment = datetime.fromisoformat(typed)
        return (moment - timedelta(microseconds=1) if edge == "last" else moment).date().isoformat()
    except (OverflowError, ValueError):
        return typed


def good(versions: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of the versions of a secret those that have not ended, in their order: two at most, while one is rotated."""
    at = now()
    return [one for one in versions if one["expires_at"] is None or _read(one["expires_at"]) > at]


def _read(value: datetime | str) -> datetime:
    """A moment that may have travelled through JSON."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _time(value: datetime | str, form: str, precision: str) -> Markup:
    parsed = _read(value).astimezone(UTC)
    return Markup('<time datetime="{}" title="{}" data-precision="{}">{}</time>').format(
        parsed.strftime("%Y-%m-%dT%H:%M:%SZ"),
        parsed.strftime("%Y-%m-%d %H:%M:%S UTC"),
        precision,
        parsed.strftime(form),
    )


@cache
def asset(name: str) -> str:
    """The address of a static file, which changes with its content: a browser keeps it for a year."""
    digest = hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:_DIGEST_CHARS]
    return url_for("console.static", filename=name, v=digest)


def organisation_id() -> UUID:
    """The organisation that this page is about."""
    found: UUID = g.organisation["organisation_id"]
    return found
