"""Every form of the console, by where it is: how it is come to, and what somebody types into it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from uuid import UUID

from werkzeug.datastructures import MultiDict

from api.wiring import Services
from ledger.values import AccountKind, Channel, Kind
from tests import given

PASSWORD = "eleven purple walruses sing"
# What is typed where nothing else is said, by the name of the field or else by its type.
TYPED = {
    "name": "Nightly files",
    "title": "Nightly files",
    "description": "Moves what came in by day.",
    "reason": "INC-7",
    "reference": "C-10017",
    "labels": "team=payments\nregion=north",
    "allowlist": "192.0.2.0/24\n2001:db8::/32",
    "email": "nightly@example.com",
    "url": "https://hooks.example.com/nightly",
    "password": PASSWORD,
}


@dataclass(frozen=True)
class Sample:
    """A form below an organisation's pages, or where its whole address says. `typed` is what cannot be told from the
    fields, `before` names the form that makes the thing ready for this one, `steps` is how often it is sent until
    something is recorded, and `of_all` tells that it takes an operator of all organisations.
    """

    path: str
    typed: Mapping[str, str] = field(default_factory=dict)
    before: str | None = None
    steps: int = 1
    of_all: bool = False


CREDENTIAL, OPERATOR, WEBHOOK = (
    "credentials/{credential}",
    "settings/operators/{operator}",
    "settings/webhooks/{webhook}",
)
APP, ACCOUNT, LOGIN = "apps/{app}", "accounts/{account}", "accounts/{account}/api-keys/{login}"
OWN = {"credentials": "own", "login": "acme-nightly"}

FORMS: Mapping[str, Sample] = {
    "create credentials": Sample("settings/partner-api/create"),
    "describe credential": Sample(f"{CREDENTIAL}/edit"),
    "set allowlist": Sample(f"{CREDENTIAL}/allowlist"),
    "regenerate keys": Sample(f"{CREDENTIAL}/rotate"),
    "revoke credential": Sample(f"{CREDENTIAL}/revoke"),
    "suspend credential": Sample(f"{CREDENTIAL}/suspend"),
    "resume credential": Sample(f"{CREDENTIAL}/resume", before="suspend credential"),
    "retire the older secret": Sample(f"{CREDENTIAL}/end-overlap", before="regenerate keys"),
    "create a successor": Sample(f"{CREDENTIAL}/successor"),
    "revoke many": Sample("bulk-revocations/new", {"contact_email": "dev@example.com"}, steps=2),
    "new app": Sample("apps/new", steps=2),
    "describe app": Sample(f"{APP}/edit"),
    "connect apis": Sample(f"{APP}/apis/connect", {"apis": "payouts"}),
    "archive app": Sample(f"{APP}/archive"),
    "generate key": Sample(f"{APP}/keys/generate"),
    "revoke key": Sample(f"{APP}/keys/{{pair}}/revoke", {"action": "later"}),
    "add merchant": Sample("merchants/open"),
    "add API key": Sample("merchants/{merchant}/developers/create"),
    "open account": Sample("accounts/open", {"opened_on": "2026-01-31"}),
    "add sub-account": Sample(f"{ACCOUNT}/open-sub", {"opened_on": "2026-01-31"}),
    "describe account": Sample(f"{ACCOUNT}/edit"),
    "close account": Sample(f"{ACCOUNT}/close"),
    "create channel key": Sample(f"{ACCOUNT}/api-keys/create", {"channel": "http", "preset": "read_only", **OWN}),
    "change credentials": Sample(f"{LOGIN}/change", OWN),
    "IP whitelist": Sample(f"{LOGIN}/whitelist"),
    "enrol operator": Sample("settings/operators/enrol"),
    "change roles": Sample(f"{OPERATOR}/roles", {"roles": "auditor"}),
    "rotate token": Sample(f"{OPERATOR}/rotate-token"),
    "retire the older token": Sample(f"{OPERATOR}/end-overlap", before="rotate token"),
    "remove operator": Sample(f"{OPERATOR}/remove"),
    "erase credential": Sample(f"{CREDENTIAL}/erase", before="revoke credential"),
    "erase operator": Sample(f"{OPERATOR}/erase", before="remove operator"),
    "new export": Sample("exports/ask"),
    "new access review": Sample("access-reviews/ask"),
    "rename organisation": Sample("settings/rename"),
    "register organisation": Sample("/console/organisations/register", of_all=True),
    "register endpoint": Sample("settings/webhooks/register"),
    "describe endpoint": Sample(f"{WEBHOOK}/edit"),
    "rotate signing secret": Sample(f"{WEBHOOK}/rotate-secret"),
    "disable endpoint": Sample(f"{WEBHOOK}/disable"),
    "enable endpoint": Sample(f"{WEBHOOK}/enable", before="disable endpoint"),
    "remove endpoint": Sample(f"{WEBHOOK}/remove"),
}


def things(services: Services, organisation: UUID) -> dict[str, UUID]:
    """One of everything that a form is about, by its name in the paths above."""
    both = ["live", "test"]
    taken = {"orders": ["customer:view"], "payouts": ["customer:edit"]}
    given.a_catalogue(services, organisation, {"customer:view": both, "customer:edit": both}, taken)
    app = given.an_application(services, organisation, "orders")
    account = given.an_account(services, organisation)
    pair = {"kind": Kind.KEY_PAIR, "application_id": app}
    login = {"kind": Kind.CHANNEL_LOGIN, "channel": Channel.FTP, "account_id": account, "login": f"acme-{account}"}
    return {
        "credential": given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT, networks=())[0].id,
        "app": app,
        "pair": given.a_credential(services, organisation, **pair)[0].id,
        "account": account,
        "merchant": given.an_account(services, organisation, kind=AccountKind.MERCHANT),
        "login": given.a_credential(services, organisation, **login)[0].id,
        "operator": given.an_operator(services, organisation_id=organisation)[0],
        "webhook": given.a_webhook_endpoint(services, organisation),
    }


@dataclass
class Control:
    """A field of a form, as the page has it: `chosen` says which of several with its name are so already, `expected`
    what is to be typed into it.
    """

    name: str
    kind: str
    value: str
    chosen: bool = False
    enabled: bool = True
    expected: str = ""


class Fields(HTMLParser):
    """The fields of a page's form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.controls: list[Control] = []
        self._within = False
        self._select: Control | None = None
        self._area: Control | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._within = "data-complete" in has
        if not self._within:
            return
        if tag == "option" and self._select is not None:
            if "selected" in has or not self._select.chosen:  # the first, until another one says that it is it
                self._select.value = has["value"]
            self._select.chosen = True
        elif tag in ("input", "select", "textarea") and "name" in has:
            kind = has.get("type", "text") if tag == "input" else tag
            chosen, enabled, expected = "checked" in has, "disabled" not in has, has.get("data-equals", "")
            control = Control(has["name"], kind, has.get("value", ""), chosen, enabled, expected)
            self.controls.append(control)
            self._select = control if tag == "select" else self._select
            self._area = control if tag == "textarea" else None

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        if tag == "form":
            self._within = False
        if tag == "textarea":
            self._area = None

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if self._area is not None:
            self._area.value += data

    def sent(self) -> MultiDict[str, str]:
        """What a browser would send of it as it stands."""
        choices = ("radio", "checkbox")
        return MultiDict(
            (one.name, one.value) for one in self.controls if one.enabled and (one.chosen or one.kind not in choices)
        )

    def texts(self) -> list[Control]:
        """What is typed into."""
        return [c for c in self.controls if c.kind not in ("hidden", "radio", "checkbox", "select")]

    def filled(self, sample: Sample) -> MultiDict[str, str]:
        """What a browser would send of it, filled in."""
        sent = self.sent()
        for control in self.controls:
            name = control.name
            if name in sample.typed:
                sent[name] = sample.typed[name]
            elif control in self.texts():
                sent[name] = control.expected or typed_into(name, control.kind) or control.value
            elif name not in sent and control.enabled:
                sent[name] = control.value  # the first of a choice
        return sent


def typed_into(name: str, kind: str) -> str:
    """What is typed into a field where its sample does not say; nothing, where it is left as it is."""
    return TYPED.get(name, TYPED.get(kind, ""))
