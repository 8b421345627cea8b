"""How a verification is settled and answered, for every way in: the application's routes and the fast path before it.

Nothing here knows Flask. What a request holds is read by its caller; what goes back is an `Answer`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from api.access_tokens import AccessTokens, has_token_form
from api.attempts import Presenter
from api.auth import VERIFIES
from api.observability import verifications_like
from api.outgoing import to_json
from api.problems import problem_document
from api.wiring import Services
from ledger.errors import Forbidden, InvalidValue, TooManyAttempts
from ledger.secret_format import SECRET_PREFIX, claims_our_format
from ledger.secrets import malformed
from ledger.values import AnyAddress, Channel, Kind, Mode, one_of, parse_address
from ledger.verification import Candidate, Code, Question, Verdict, decide, login_of
from projections.credential_status import find_for_verification
from projections.operator_status import Caller, find_caller

# What a scope consists of (RFC 6749 section 3.3), and what may stand between the quotes of a header.
_SCOPE_TOKEN = re.compile(r"[!#-\[\]-~]+")


REFUSED = "keyledger.refused"
"""Where the fast path leaves in a request's environment why it was refused: asking again would only take longer."""


class UnknownToken(Exception):
    """The gateway's own token is not good."""


class Answer(NamedTuple):
    """What goes back, but for the headers that every answer has."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)  # not frozen, as `Question` is not
class Asked:
    """What is asked about one presented secret, in the domain's values; what is None is not required."""

    secret: str = field(repr=False)
    public_id: str | None = None
    client_address: AnyAddress | None = None
    mode: Mode | None = None
    channel: Channel | None = None
    scopes: Sequence[str] = ()
    api: str | None = None
    bearer: bool = False
    """Whether it was presented as a Bearer token, which an access token may be."""
    address_told: bool = False
    """Whether somebody said what the client's address is, be it one that cannot be read. That of the connection may be
    the gateway's own, and then one client who guesses must not have all of them refused.
    """


class Presented(NamedTuple):
    """What the client of a proxy presented."""

    secret: str
    public_id: str | None = None
    bearer: bool = False


class _Found(NamedTuple):
    """Who asks, and the secrets that the presented one may be; or, where it may be an access token, who reads those."""

    gateway: Caller
    question: Question
    candidates: Sequence[Candidate]
    tokens: AccessTokens | None


def settle(services: Services, token_digests: Sequence[str], asked: Asked, at: datetime) -> tuple[Caller, Verdict]:
    """Who asks and what they ask about, read in one round trip, and the decision; counted, and the use noted.

    Raises `UnknownToken`, `Forbidden` for an operator who is no gateway, `TooManyAttempts`, and what `decide` raises.
    """
    found = _look_up(services, token_digests, asked, at)
    return found.gateway, _conclude(services, token_digests, asked, found)


def settle_all(
    services: Services, token_digests: Sequence[str], batch: Sequence[Asked], at: datetime
) -> tuple[Caller, list[Verdict]]:
    """Who asks and several decisions, each counted as `settle` does, and `TOO_MANY_ATTEMPTS` where it would raise that:
    nobody's failures may keep the others from an answer.

    All is looked up before the first one is counted. So where PostgreSQL is lost in between, and the batch comes again,
    nobody's failures count twice. Raises `UnknownToken`, and `Forbidden` for an operator who is no gateway.
    """
    found = [_look_up(services, token_digests, asked, at) for asked in batch]
    verdicts = []
    for asked, one in zip(batch, found, strict=True):
        try:
            verdicts.append(_conclude(services, token_digests, asked, one))
        except TooManyAttempts:
            verdicts.append(Verdict(Code.TOO_MANY_ATTEMPTS))
    return found[0].gateway, verdicts


def _look_up(services: Services, token_digests: Sequence[str], asked: Asked, at: datetime) -> _Found:
    question = _question(services, asked, at)
    tokens = services.tokens if asked.bearer and has_token_form(asked.secret) else None
    gateway: Caller | None
    candidates: Sequence[Candidate]
    if tokens is None and question.digests:
        gateway, candidates = _find(services, token_digests, question)
    else:  # a malformed one is nobody's, so it is not looked for
        gateway, candidates = find_gateway(services, token_digests), ()
    if gateway is None:
        raise UnknownToken
    if not VERIFIES & gateway.roles:
        raise Forbidden("this takes the role verifier")
    question.organisation_id = gateway.organisation_id
    return _Found(gateway, question, candidates, tokens)


def _conclude(services: Services, token_digests: Sequence[str], asked: Asked, found: _Found) -> Verdict:
    gateway, question, candidates, tokens = found
    who = Presenter(asked.client_address, asked.address_told, login_of(question), gateway.organisation_id)
    if services.attempts is not None:
        services.attempts.admit(who)
    if lacks_public_id(asked.secret, asked.public_id):
        verdict = Verdict(Code.MALFORMED)
    else:
        of_token = None if tokens is None else tokens.verify(asked.secret, question)
        if tokens is not None and of_token is None:  # another system's, which may have been imported as a secret
            _, candidates = _find(services, token_digests, question)
        verdict = of_token or decide(question, candidates)
    verifications_like(verdict.code).inc()
    if services.attempts is not None:
        services.attempts.note(who, verdict.code)
    if verdict.candidate is not None and services.usage is not None:
        c = verdict.candidate
        services.usage.note(c.credential_id, c.secret_version, question.at, asked.client_address, verdict.code)
    return verdict


def _find(
    services: Services, token_digests: Sequence[str], question: Question
) -> tuple[Caller | None, Sequence[Candidate]]:
    if services.cache is not None:
        return services.cache.find(token_digests, question.digests, login_of(question))
    return find_for_verification(services.store, token_digests, question.digests, login_of(question))


def find_gateway(services: Services, token_digests: Sequence[str]) -> Caller | None:
    """Whose live token it is that has one of these digests."""
    if services.cache is not None:
        return services.cache.find_caller(token_digests)
    return find_caller(services.store, token_digests)


def find_secret(services: Services, digests: Sequence[str]) -> Sequence[Candidate]:
    """The secrets that may be the presented one, which is not a password."""
    if services.cache is not None:
        return services.cache.find_secret(digests)
    return find_for_verification(services.store, (), digests, None)[1]


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
                found["client_address"], found["address_told"] = readable_address(value), True
            case _:
                raise InvalidValue(name, "is not a parameter of this")
    return found


def readable_address(text: str) -> AnyAddress | None:
    """An address; None for what cannot be read as one."""
    try:
        return parse_address(text)
    except InvalidValue:
        return None


def presented(key: str | None, authorization: str | None) -> Presented | None:
    """The client's secret and public identifier: X-API-Key, Bearer, or Basic (RFC 7617); None for none or several."""
    if key is not None and authorization is not None:
        return None  # which of the two is meant is not for us to guess
    if key is not None:
        return Presented(key.strip())
    if authorization is None:
        return None
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return Presented(rest.strip(), bearer=True)
    if scheme.lower() == "basic":
        try:
            public_id, colon, secret = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return Presented(secret, public_id or None) if colon else None
    return None


def challenged(detail: str, request_id: str, code: str | None = None, of_bearer: str = "") -> Answer:
    """A 401 that says what may be presented.

    In one header, as nginx before 1.23 hands on no more than one of several, and written out, as a realm is always
    quoted (RFC 9110 sections 11.5 and 11.6.1).
    """
    challenges = f'Bearer realm="api"{of_bearer}, Basic realm="api", charset="UTF-8"'
    headers = {"WWW-Authenticate": challenges} | ({"X-Code": code} if code else {})
    return _refused(401, "unauthorised", detail, request_id, headers)


def directed(verdict: Verdict, request_id: str, asked: Asked) -> Answer:
    """What a proxy does with the request: 200 lets it through, and says in headers who it is; 401 and 403 do not.

    Whoever presented a Bearer token is told what to do about it, as a client of OAuth 2 expects (RFC 6750 section 3.1):
    get another one, or one of more scopes.
    """
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
            of_bearer = ', error="invalid_token"' if asked.bearer else ""
            return challenged("the credential is not good", request_id, verdict.code, of_bearer)
        case _:
            headers = {"X-Code": str(verdict.code)}
            if asked.bearer and verdict.code is Code.INSUFFICIENT_SCOPE:
                headers["WWW-Authenticate"] = f'Bearer realm="api", error="insufficient_scope"{_scope_of(asked)}'
            return _refused(403, "forbidden", "the credential does not allow this", request_id, headers)


def _scope_of(asked: Asked) -> str:
    """The scopes that were required, as a challenge tells them; nothing where there are none that could be named."""
    if not asked.scopes or not all(_SCOPE_TOKEN.fullmatch(scope) for scope in asked.scopes):
        return ""
    return f', scope="{" ".join(asked.scopes)}"'


def _refused(status: int, code: str, detail: str, request_id: str, headers: dict[str, str]) -> Answer:
    media_type, body = problem_document(status, code, detail, request_id)
    return Answer(status, {**headers, "Content-Type": media_type}, body)
