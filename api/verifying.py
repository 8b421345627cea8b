"""How a verification is settled and answered, for every way in: the application's routes and the fast path before it.

Nothing here knows Flask. What a request holds is read by its caller; what goes back is an `Answer`.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from api.auth import VERIFIES
from api.observability import verifications_like
from api.outgoing import to_json
from api.problems import problem_document
from api.wiring import Services
from ledger.errors import Forbidden, InvalidValue
from ledger.secret_format import SECRET_PREFIX, claims_our_format
from ledger.secrets import malformed
from ledger.values import AnyAddress, Channel, Kind, Mode, one_of, parse_address
from ledger.verification import Code, Question, Verdict, decide, login_of
from projections.credential_status import find_for_verification
from projections.operator_status import Caller

# What the client of a forward-auth proxy may present. In one header, as nginx before 1.23 hands on no more than one of
# several, and written out, as a realm is always quoted (RFC 9110 sections 11.5 and 11.6.1).
_CHALLENGES = 'Bearer realm="api", Basic realm="api", charset="UTF-8"'


REFUSED = "keyledger.refused"
"""Where the fast path leaves in a request's environment why it was refused: asking again would only take longer."""


class UnknownToken(Exception):
    """The gateway's own token is not good."""


class Answer(NamedTuple):
    """What goes back, but for the headers that every answer has."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about one presented secret, in the domain's values; what is None is not required."""

    secret: str = field(repr=False)
    public_id: str | None = None
    client_address: AnyAddress | None = None
    mode: Mode | None = None
    channel: Channel | None = None
    scopes: Sequence[str] = ()
    api: str | None = None


def settle(services: Services, token_digests: Sequence[str], asked: Asked, at: datetime) -> tuple[Caller, Verdict]:
    """Who asks and what they ask about, read in one round trip, and the decision; counted, and the use noted.

    Raises `UnknownToken`, `Forbidden` for an operator who is no gateway, `TooManyAttempts`, and what `decide` raises.
    """
    question = _question(services, asked, at)
    look_up = services.cache.find if services.cache else partial(find_for_verification, services.store)
    gateway, candidates = look_up(token_digests, question.digests, login_of(question))
    if gateway is None:
        raise UnknownToken
    if not VERIFIES & gateway.roles:
        raise Forbidden("this takes the role verifier")
    if services.attempts is not None:
        services.attempts.admit(asked.client_address, asked.public_id)
    if lacks_public_id(asked.secret, asked.public_id):
        verdict = Verdict(Code.MALFORMED)
    else:
        if gateway.organisation_id is not None:
            question = replace(question, organisation_id=gateway.organisation_id)
        verdict = decide(question, candidates)
    verifications_like(verdict.code).inc()
    if services.attempts is not None:
        services.attempts.note(asked.client_address, asked.public_id, verdict.code)
    if verdict.valid and verdict.candidate is not None and services.usage is not None:
        services.usage.note(verdict.candidate.credential_id, verdict.candidate.secret_version, at)
    return gateway, verdict


def takes_a_password_check(asked: Asked) -> bool:
    """Whether the secret may be a password that somebody chose, which takes some twenty milliseconds to check."""
    return asked.public_id is not None and asked.channel is not None and not claims_our_format(asked.secret)


def _question(services: Services, asked: Asked, at: datetime) -> Question:
    return Question(
        secret=asked.secret,
        digests=() if malformed(asked.secret) else services.keyring.digests.candidates(asked.secret),
        at=at,
        public_id=asked.public_id,
        client_ip=asked.client_address,
        mode=asked.mode,
        channel=asked.channel,
        scopes=asked.scopes,
        api=asked.api,
    )


_OF_API_KEYS = f"{SECRET_PREFIX}{Kind.API_KEY}_"


def lacks_public_id(secret: str, public_id: str | None) -> bool:
    """A secret of our format says its kind: all but API keys go with a public identifier."""
    return public_id is None and claims_our_format(secret) and not secret.startswith(_OF_API_KEYS)


# --- POST /v1/verify -------------------------------------------------------------------------------------------------


def told(verdict: Verdict, request_id: str) -> Answer:
    """The verdict in full."""
    return Answer(200, {"Content-Type": "application/json"}, to_json(described(verdict, request_id)))


def told_all(verdicts: Iterable[Verdict], request_id: str) -> Answer:
    """Several verdicts, in the order of the questions."""
    body = {"verdicts": [described(verdict, request_id) for verdict in verdicts]}
    return Answer(200, {"Content-Type": "application/json"}, to_json(body))


def described(verdict: Verdict, request_id: str) -> dict[str, Any]:
    """A verdict as it reads."""
    c = verdict.candidate
    return {
        "valid": verdict.valid,
        "code": verdict.code,
        "credential_id": c and c.credential_id,
        "organisation_id": c and c.organisation_id,
        "application_id": c and c.application_id,
        "kind": c and c.kind,
        "public_id": c and c.public_id,
        "mode": c and c.mode,
        "environment": c and c.environment,
        "channel": c and c.channel,
        "scopes": verdict.scopes,
        "expires_at": c and c.expires_at,
        "request_id": request_id,
    }


# --- GET /v1/authorize -----------------------------------------------------------------------------------------------


def required(parameters: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """What a proxy's query requires and tells, as fields of `Asked`.

    Raises `InvalidValue` for a requirement that would otherwise go unheard: one of another name, the second of two, and
    an empty one, as a proxy's variable that was not set must not mean that nothing is required. An address that cannot
    be read is none (nginx says `unix:` of a local socket): an allowlist refuses it; a 422 would be for the gateway's
    operator, who is not there to read it.
    """
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for name, value in parameters:
        if name in seen:
            raise InvalidValue(name, "is there twice", "duplicate_field")
        seen.add(name)
        match name:
            case "mode":
                found[name] = one_of(Mode, value, name)
            case "channel":
                found[name] = one_of(Channel, value, name)
            case "scopes":
                found[name] = value.replace(",", " ").split()
                if not found[name]:
                    raise InvalidValue(name, "must name one at least; leave it out where none is required")
            case "api":
                if not value:
                    raise InvalidValue(name, "must not be empty; leave it out where none is required")
                found[name] = value
            case "client_ip":
                found["client_address"] = readable_address(value)
            case _:
                raise InvalidValue(name, "is not a parameter of this")
    return found


def readable_address(text: str) -> AnyAddress | None:
    """An address; None for what cannot be read as one."""
    try:
        return parse_address(text)
    except InvalidValue:
        return None


def presented(key: str | None, authorization: str | None) -> tuple[str, str | None] | None:
    """The client's secret and public identifier: X-API-Key, Bearer, or Basic (RFC 7617); None for none or several."""
    if key is not None and authorization is not None:
        return None  # which of the two is meant is not for us to guess
    if key is not None:
        return key.strip(), None
    if authorization is None:
        return None
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip(), None
    if scheme.lower() == "basic":
        try:
            public_id, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return (secret, public_id or None) if colon else None
    return None


def challenged(detail: str, request_id: str, code: str | None = None) -> Answer:
    """A 401 that says what may be presented."""
    headers = {"WWW-Authenticate": _CHALLENGES} | ({"X-Code": code} if code else {})
    return _refused(401, "unauthorised", detail, request_id, headers)


def directed(verdict: Verdict, request_id: str) -> Answer:
    """What a proxy does with the request: 200 lets it through, and says in headers who it is; 401 and 403 do not."""
    c = verdict.candidate
    match verdict.code:
        case Code.VALID if c is not None:
            headers = {
                "X-Credential-Id": str(c.credential_id),
                "X-Organisation-Id": str(c.organisation_id),
                "X-Application-Id": str(c.application_id or ""),
                "X-Public-Id": c.public_id,
                "X-Mode": c.mode,
                "X-Scopes": " ".join(verdict.scopes),
            }
            return Answer(200, headers, b"")
        case Code.NOT_FOUND | Code.MALFORMED | Code.REVOKED | Code.EXPIRED | Code.SUSPENDED:
            return challenged("the credential is not good", request_id, verdict.code)
        case _:
            headers = {"X-Code": str(verdict.code)}
            return _refused(403, "forbidden", "the credential does not allow this", request_id, headers)


def _refused(status: int, code: str, detail: str, request_id: str, headers: dict[str, str]) -> Answer:
    media_type, body = problem_document(status, code, detail, request_id)
    return Answer(status, {**headers, "Content-Type": media_type}, body)
