"""The console: the ledger in a browser, for people who never read the API's documentation.

It is one more caller of the two doors that everyone uses, `Ledger.handle` and the queries of `projections`, and has no
rules of its own: forms are read by the API's schemas, commands are built by the functions that the API's handlers use,
and roles are `api/auth.py`'s. Pages are rendered here, whole; htmx changes a part of one in place where there is
JavaScript, and a link or a form does the same without. `docs/console.md` says how a page is added.
"""

from flask import Blueprint, Flask

from api.console import (
    access_reviews,
    accounts,
    activity,
    applications,
    as_of,
    bulk_revocations,
    channels,
    credentials,
    dashboard,
    exports,
    guard,
    merchants,
    operators,
    organisations,
    partner_api,
    proofs,
    provider,
    rendering,
    reports,
    searching,
    signing_in,
    webhooks,
    you,
)
from ledger.settings import Settings

# Each is a group of pages: a module and a folder of templates.
GROUPS = (
    signing_in.pages,
    organisations.pages,
    searching.pages,
    partner_api.pages,
    proofs.pages,
    credentials.pages,
    as_of.pages,
    applications.pages,
    merchants.pages,
    accounts.pages,
    channels.pages,
    activity.pages,
    dashboard.pages,
    reports.pages,
    bulk_revocations.pages,
    operators.pages,
    you.pages,
    webhooks.pages,
    access_reviews.pages,
    exports.pages,
)


def register(app: Flask, settings: Settings) -> None:
    """Serve the console under /console."""
    console = Blueprint(
        "console",
        __name__,
        url_prefix="/console",
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    guard.protect(console)
    rendering.prepare(console)
    for group in GROUPS:
        console.register_blueprint(group)
    if settings.oidc_issuer:
        provider.prepare(app, settings)
        console.register_blueprint(provider.pages)
    app.register_blueprint(console)
