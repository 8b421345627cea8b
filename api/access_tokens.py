"""Access tokens that were issued here (RFC 9068): whether one is good, now, and what for.

A token is what its credential is, with fewer scopes: whatever ends the credential, or the secret that the token was
issued for, ends the token. So the credential is looked up each time, from memory where verification is; only the
signature, which does not change, is checked once.
"""

import threading
from dataclasses import replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from uuid import UUID

from api.signing import Claims, Signer
from ledger.errors import InvalidValue
from ledger.service import Ledger
from ledger.store.log import EventLog
from ledger.verification import Candidate, Code, Question, Verdict, judge
from projections.credential_status import find_client
from projections.oauth import revoke_token
from projections.verification_cache import VerificationCache

# Longer is no token of ours: the longest scopes there can be fill some fifty kilobytes.
TOKEN_CHARS_MAX = 65_536
# Tokens whose signature is known to be good, by their SHA-256: some twenty megabytes, and twice that at most, as the
# signature of a longer one, which has a hundred scopes, is checked each time: some tenths of a millisecond.
TOKENS_MAX = 10_000
REMEMBERED_CHARS_MAX = 4_096


class AccessTokens:
    """The tokens of one process. `issuer` is who all of them name as theirs; without a cache PostgreSQL is asked."""

    def __init__(self, log: EventLog, ledger: Ledger, issuer: str, cache: VerificationCache | None) -> None:
        self.signer = Signer(log, ledger)
        self.issuer = issuer
        self._log = log
        self._cache = cache
        self._find_client = cache.find_client if cache else partial(find_client, log.datastore)
        self._signed: dict[bytes, Claims] = {}
        self._mutex = threading.Lock()  # of whoever remembers a token; looking one up takes none

    def find(self, text: str, at: datetime) -> tuple[Claims, Candidate] | None:
        """What a token says and the credential it was issued for, as it is now; None where the token is not good."""
        claims = self._read(text)
        if claims is None or _expired(claims, at):
            return None
        found = self._credential_of(claims, at)
        return None if found is None else (claims, found)

    def verify(self, text: str, question: Question) -> Verdict | None:
        """The verdict on a token that was presented in the place of a secret; None for what was not issued here."""
        claims = self._read(text)
        if claims is None:
            return None
        if question.organisation_id is not None and str(question.organisation_id) != claims["organisation_id"]:
            return Verdict(Code.NOT_FOUND)
        if _expired(claims, question.at):
            return Verdict(Code.EXPIRED)
        found = self._credential_of(claims, question.at)
        return Verdict(Code.REVOKED) if found is None else self.judge(question, claims, found)

    def judge(self, question: Question, claims: Claims, found: Candidate) -> Verdict:
        """The verdict on a token whose credential was found: that one's, with the token's scopes, and for the API that
        it was issued for alone, if for one.
        """
        scopes = frozenset(claims["scope"].split())
        narrowed = replace(found, scopes=tuple(scope for scope in found.scopes if scope in scopes))
        issued_for = self.api_of(found.organisation_id, claims["aud"])
        verdict = judge(replace(question, api=question.api or issued_for), narrowed)
        if verdict.valid and issued_for is not None and question.api not in (None, issued_for):
            return Verdict(Code.API_NOT_CONNECTED, narrowed, verdict.scopes)
        return verdict

    def revoke(self, claims: Claims) -> None:
        """Refuse the token from now on: for the very next question here, within the cache's bound everywhere."""
        revoke_token(self._log.datastore, claims["jti"], claims["exp"], self._log.recorder.notify_channel)
        if self._cache is not None:
            self._cache.heed_token(claims["jti"])

    def audience(self, organisation_id: UUID, api: str | None) -> str:
        """Who a token is for: an API of the organisation's catalogue, or whatever of the organisation's takes it.

        With the organisation in it, so that no other one's API takes it for its own.
        """
        organisation = f"{self.issuer}/organisations/{organisation_id}"
        return organisation if api is None else f"{organisation}/apis/{api}"

    def api_of(self, organisation_id: UUID, audience: str) -> str | None:
        """The API that an audience names; None for the organisation as a whole. Raises `InvalidValue`."""
        organisation, _, api = audience.partition("/apis/")
        if organisation != self.audience(organisation_id, None) or (api == "" and organisation != audience):
            raise InvalidValue("resource", "is none of this client")
        return api or None

    def _read(self, text: str) -> Claims | None:
        """What a token says that was signed here, be it still good or not; None for any other."""
        if len(text) > TOKEN_CHARS_MAX:
            return None
        fingerprint = sha256(text.encode(errors="surrogatepass")).digest()
        known = self._signed.get(fingerprint)
        if known is not None:
            return known
        signed = self.signer.read(text)
        if signed is None or signed.claims["iss"] != self.issuer:
            return None
        claims = {**signed.claims, "kid": signed.kid}
        if len(text) > REMEMBERED_CHARS_MAX:
            return claims
        with self._mutex:
            self._signed[fingerprint] = claims
            if len(self._signed) > TOKENS_MAX:
                del self._signed[next(iter(self._signed))]  # the oldest, which is the next to expire
        return claims

    def _credential_of(self, claims: Claims, at: datetime) -> Candidate | None:
        """The credential, unless the token was revoked or its key given up, with the secret that it was issued for: one
        that a rotation ended at once ends its tokens.
        """
        if self.signer.ended(claims["kid"], at):
            return None
        for candidate in self._find_client(claims["client_id"], claims["jti"], claims["kid"]):
            if candidate.secret_version == claims["secret_version"]:
                return candidate
        return None


def has_token_form(text: str) -> bool:
    """Whether the text may be a JSON Web Token: three parts, of which the first begins as every JSON object does."""
    return text.startswith("eyJ") and text.count(".") == 2


def _expired(claims: Claims, at: datetime) -> bool:
    expires: int = claims["exp"]
    return expires <= at.timestamp()
