"""Failed verifications: whoever tries one secret after another is slowed, and refused for as long as they go on."""

from collections.abc import Hashable
from math import ceil
from typing import NamedTuple
from uuid import UUID

from prometheus_client import Counter

from api.rate_limits import RateLimiter, subscriber
from ledger.errors import TooManyAttempts
from ledger.settings import Settings
from ledger.values import AnyAddress, Channel, Login
from ledger.verification import Code

REFUSED = Counter("keyledger_attempts_refused", "Verifications refused after too many failures.", ["by"])

# What is told of a secret that is not one: the others are told to whoever holds it.
_GUESSES = frozenset({Code.NOT_FOUND, Code.MALFORMED})
_BY_LOGIN = "public_id"


class Presenter(NamedTuple):
    """Who presents a secret, as far as that is known. An address of None is one that cannot be read; `login` is there
    where the secret may be a chosen password, `tenant` where a gateway of one organisation tells all of this.
    """

    address: AnyAddress | None
    address_told: bool = True
    login: tuple[Channel, Login] | None = None
    tenant: UUID | None = None


class FailedAttempts:
    """Counts failures for each client's address, and for each login whose password somebody chose, in the memory of one
    process. Whoever names another kind's public identifier must not keep its holder out: generated secrets are not
    guessed. Each tenant's gateways count for themselves: what one is told of others' clients is only its word.

    Clients whose address cannot be read count as one: whoever could have theirs unread would otherwise guess as often
    as they like. An address that nobody told counts for nothing.

    A minute's worth of failures is taken as they come, and then as many a minute. What is refused is not looked at, and
    so is no failure. A right secret is refused too meanwhile, for otherwise a guess would be answered after all.
    """

    def __init__(self, settings: Settings) -> None:
        self._addresses = RateLimiter(settings.failures_per_address)
        self._public_ids = RateLimiter(settings.failures_per_public_id)

    def admit(self, who: Presenter) -> None:
        """Raise `TooManyAttempts` for whoever failed too often."""
        for by, limiter, key in self._buckets(who):
            if seconds := limiter.wait(key):
                REFUSED.labels(by).inc()
                raise TooManyAttempts("too many failed attempts", ceil(seconds))

    def note(self, who: Presenter, code: Code) -> None:
        """Count a verdict, if it is one of somebody who guesses.

        What nobody can have chosen is no guess at a password. It costs nothing to look at, so whoever sent enough of it
        for made-up logins would have those that are guessed at forgotten; a guess takes a password check.
        """
        if code in _GUESSES:
            for by, limiter, key in self._buckets(who):
                if by != _BY_LOGIN or code is not Code.MALFORMED:
                    limiter.take(key)

    def _buckets(self, who: Presenter) -> list[tuple[str, RateLimiter, Hashable]]:
        found: list[tuple[str, RateLimiter, Hashable]] = []
        if who.address_told:
            subscribed = None if who.address is None else subscriber(str(who.address))
            found.append(("address", self._addresses, (who.tenant, subscribed)))
        if who.login is not None:
            channel, name = who.login
            found.append((_BY_LOGIN, self._public_ids, (who.tenant, channel, name.lower())))
        return found
