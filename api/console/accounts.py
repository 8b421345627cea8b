"""Accounts of every kind: the list, one account, and opening, describing and closing one.

What is particular to a kind is elsewhere: `merchants.py` has the keys of merchants, `channels.py` the channels of
masters and sub-accounts.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request

from api import account_commands, documents
from api.accounts import existing, found_for, represent, to_open
from api.auth import WRITES_CREDENTIALS, allow, allow_mode
from api.console.forms import KEY_FIELD, Form, attempt, carry_out, carry_out_all, filtered, forget_secret, listed
from api.console.organisations import names_of
from api.console.rendering import go_to, render
from api.schemas.accounts import STATUSES, AccountDescriptionIn, AccountIn, AccountQuery, ClosingIn
from ledger.errors import NotFound
from ledger.values import AccountKind, Mode
from projections.pages import LIMIT_MAX, Page

pages = Blueprint("accounts", __name__, url_prefix="/organisations/<uuid:organisation_id>/accounts")

Row = Mapping[str, Any]


# --- reading ---------------------------------------------------------------------------------------------------------


@pages.get("")
def listing(organisation_id: UUID) -> Response:
    """All accounts, filtered by what the address says."""
    return show_list(organisation_id, "console/accounts/listing.html")


def show_list(organisation_id: UUID, template: str, **fixed: str) -> Response:
    """A list of accounts, filtered by what the address says and by what is fixed for its page."""
    form, found, status = listed(lambda asked: found_for(organisation_id, AccountQuery().load(asked | fixed)))
    page = render(
        template,
        form=form,
        kinds=list(AccountKind),
        statuses=STATUSES,
        filtered=filtered(),
        accounts=[documents.account(row) for row in found.rows],
        cursor=found.cursor,
    )
    return Response(page, status, mimetype="text/html")


@pages.get("/<uuid:account_id>")
def detail(organisation_id: UUID, account_id: UUID) -> Response | str:
    """One account and, of a master, its sub-accounts; a merchant's is among the merchants."""
    row = existing(organisation_id, account_id)
    if row["kind"] == AccountKind.MERCHANT:
        return go_to("console.merchants.detail", **request.view_args or {}, done=request.args.get("done"))
    return show_one(row)


def show_one(row: Row) -> str:
    """An account's page."""
    organisation_id, parent_id = row["organisation_id"], row["parent_id"]
    subs = Page([], None)
    if row["kind"] == AccountKind.MASTER:
        query = {"parent": row["account_id"], "cursor": request.args.get("cursor"), "limit": LIMIT_MAX}
        subs = found_for(organisation_id, query)
    return render(
        "console/accounts/detail.html",
        account=documents.account(row),
        parent=existing(organisation_id, parent_id) if parent_id else None,
        subs=[documents.account(sub) for sub in subs.rows],
        cursor=subs.cursor,
        names=names_of([row["closed_by"]] if row["closed_by"] else ()),
    )


# --- opening ---------------------------------------------------------------------------------------------------------


@pages.route("/open", methods=["GET", "POST"])
def open_master(organisation_id: UUID) -> Response | str:
    """A new master account."""
    return open_account(organisation_id, "Open a master account", kind=AccountKind.MASTER)


@pages.route("/<uuid:account_id>/open-sub", methods=["GET", "POST"])
def open_sub(organisation_id: UUID, account_id: UUID) -> Response | str:
    """A new account beneath a master."""
    allow(WRITES_CREDENTIALS, organisation_id)
    master = existing(organisation_id, account_id)
    if master["kind"] != AccountKind.MASTER:
        raise NotFound("master account")
    return open_account(
        organisation_id, "Add a sub-account", master=master, kind=AccountKind.SUB, parent_id=str(account_id)
    )


def open_account(organisation_id: UUID, title: str, master: Row | None = None, **fixed: str) -> Response | str:
    """The form that opens an account of a kind. The logins that it begins with are shown with their passwords, once."""
    allow(WRITES_CREDENTIALS, organisation_id)

    def show(form: Form) -> str:
        return render("console/accounts/open.html", form=form, title=title, kind=fixed["kind"], master=master)

    def act(form: Form) -> Response:
        body = form.load(AccountIn(), ("name", "reference", "opened_on", "reason"), **fixed)
        carried = carry_out_all(form, lambda: to_open(account_commands.open_account(organisation_id, body)))
        opened = carried.body
        if opened["credentials"]:
            return Response(
                render("console/accounts/opened.html", opened=opened, idempotency_key=form.typed[KEY_FIELD])
            )
        return _back(organisation_id, opened["id"], "account_opened")

    return show(Form()) if request.method == "GET" else attempt(show, act)


@pages.post("/<uuid:account_id>/stored")
def stored(organisation_id: UUID, account_id: UUID) -> Response:
    """Whoever saw the first logins' passwords has stored them: nothing shows them any more."""
    existing(organisation_id, account_id)
    forget_secret(Form(request.form))
    return _back(organisation_id, account_id, "account_opened")


# --- changing --------------------------------------------------------------------------------------------------------


@pages.route("/<uuid:account_id>/edit", methods=["GET", "POST"])
def edit(organisation_id: UUID, account_id: UUID) -> Response | str:
    """Its name and reference."""

    def act(row: Row, form: Form) -> Response:
        emptied = {} if form.typed.get("reference", "").strip() else {"reference": ""}
        body = form.load(AccountDescriptionIn(), ("name", "reference", "reason"), **emptied)
        channels = documents.account(row)["channels"]
        carry_out(
            form,
            lambda: account_commands.describe(row, body, form.version(row["version"])),
            lambda state: represent(state, channels),
        )
        return _back(organisation_id, account_id, "account_described")

    def begin(row: Row) -> Form:
        return Form.with_typed(name=row["name"], reference=row["reference"])

    allow(WRITES_CREDENTIALS, organisation_id)
    return _change(organisation_id, account_id, "console/accounts/edit.html", begin, act)


@pages.route("/<uuid:account_id>/close", methods=["GET", "POST"])
def close(organisation_id: UUID, account_id: UUID) -> Response | str:
    """Its end, and that of all that hangs on it."""

    def act(row: Row, form: Form) -> Response:
        body = form.load(ClosingIn(), ("reason",))
        make = partial(account_commands.close, row, body, None)
        carry_out(form, make, lambda state: represent(state, []))
        return _back(organisation_id, account_id, "account_closed")

    allow(WRITES_CREDENTIALS, organisation_id)
    allow_mode(Mode.LIVE)
    return _change(organisation_id, account_id, "console/accounts/close.html", lambda _: Form(), act)


def _change(
    organisation_id: UUID,
    account_id: UUID,
    template: str,
    begin: Callable[[Row], Form],
    act: Callable[[Row, Form], Response],
) -> Response | str:
    """A form about one account: shown as it begins, or done as it asks."""
    row = existing(organisation_id, account_id)

    def show(form: Form) -> str:
        return render(template, account=documents.account(row), form=form)

    return show(begin(row)) if request.method == "GET" else attempt(show, lambda form: act(row, form))


def _back(organisation_id: UUID, account_id: UUID | str, done: str) -> Response:
    return go_to("console.accounts.detail", organisation_id=organisation_id, account_id=account_id, done=done)
