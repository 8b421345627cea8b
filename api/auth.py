"""Who is asking, and what that allows.

Operators present a token: `Authorization: Bearer kl_operator_...` (RFC 6750). Whether a token is good is answered
before anything else is looked at, so a 401 never tells whether an id exists; another organisation's things are 404.
"""

from collections.abc import Sequence
from uuid import UUID

from flask import g, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from api.auditing import shows
from api.incoming import services
from ledger.errors import Forbidden, NotFound
from ledger.secret_format import well_formed
from ledger.values import Mode, Role
from projections.operator_status import Caller, find_caller
from projections.readings import Shown

# What each role may do. An administrator of one organisation administers that one.
READS_CREDENTIALS = frozenset({Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR, Role.VIEWER})
WRITES_CREDENTIALS = frozenset({Role.ADMINISTRATOR, Role.OPERATOR})
READS_HISTORY = frozenset({Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR})
TAKES_OUT = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
READS_OPERATORS = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
READS_READINGS = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
MANAGES_CATALOGUES = frozenset({Role.ADMINISTRATOR})
MANAGES_OPERATORS = frozenset({Role.ADMINISTRATOR})
MANAGES_RETENTION = frozenset({Role.ADMINISTRATOR})
MANAGES_WEBHOOKS = frozenset({Role.ADMINISTRATOR})
VERIFIES = frozenset({Role.VERIFIER})


def caller() -> Caller:
    """The operator whose token came with the request; 401 otherwise."""
    found: Caller | None = g.get("caller")
    if found is None:
        found = find_caller(services().store, token_digests(bearer_token()))
        if found is None:
            raise unauthorised("the token is not good")
        g.caller = found
    return found


def authenticate() -> None:
    """Refuse whoever is not signed in, before the body is read: to a stranger nothing is said about anything."""
    caller()


def bearer_token() -> str:
    """The token of the Authorization header; 401 where there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthorised("present an operator's token as Authorization: Bearer")
    return token.strip()


def token_digests(token: str) -> Sequence[str]:
    """Under which digests a token could be kept; 401 for one that was never issued, without a look-up."""
    if not well_formed(token):
        raise unauthorised("the token is not good")
    return services().keyring.digests.candidates(token)


def unauthorised(detail: str) -> Unauthorized:
    """A 401 with its challenge (RFC 9110 section 11.6.1)."""
    return Unauthorized(detail, www_authenticate=_Challenge("bearer"))


class _Challenge(WWWAuthenticate):
    """Written out: a realm is always quoted (RFC 9110 section 11.5), which werkzeug does only where it must."""

    def to_header(self) -> str:
        """See the class."""
        return 'Bearer realm="keyledger"'


def allow(roles: frozenset[Role], organisation_id: UUID | None = None) -> Caller:
    """The caller, if one of these roles is theirs for this organisation; for the installation where None is given.

    Raises `NotFound` for another tenant's organisation and `Forbidden` for a missing role.
    """
    found = caller()
    if organisation_id is not None and not found.sees(organisation_id):
        raise NotFound("organisation")
    if organisation_id is None and found.organisation_id is not None:
        raise Forbidden("this is for operators of all organisations")
    if not roles & found.roles:
        raise Forbidden(f"this takes one of the roles {', '.join(sorted(roles))}")
    return found


def may_see_hints(mode: str) -> bool:
    """Whether the caller may see the last characters of secrets of this mode. Those of live ones an installation may
    keep from whoever lacks the grant for production (`Settings.production_hints`).
    """
    return mode != Mode.LIVE or services().settings.production_hints == "all" or caller().production


def sees_hints(mode: str) -> bool:
    """The same, where they are shown if they may be."""
    seen = may_see_hints(mode)
    if seen:
        shows(Shown.HINT)
    return seen


def sees_hints_of_tokens(organisation_id: UUID | None) -> None:
    """Note that the caller sees hints of operators' tokens: of an organisation's, or for None of more than one's. These
    tell nothing of production, so whoever reads operators may.
    """
    shows(Shown.HINT, of=organisation_id)


def allow_mode(mode: str) -> None:
    """Refuse a caller without the grant for production where live credentials are concerned."""
    if mode == Mode.LIVE and not caller().production:
        raise Forbidden("live credentials take the grant for production")
