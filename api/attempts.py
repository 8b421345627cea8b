"""Failed verifications: whoever tries one secret after another is slowed, and refused for as long as they go on."""

from math import ceil

from prometheus_client import Counter

from api.rate_limits import RateLimiter, subscriber
from ledger.errors import TooManyAttempts
from ledger.settings import Settings
from ledger.values import AnyAddress
from ledger.verification import Code

REFUSED = Counter("keyledger_attempts_refused", "Verifications refused after too many failures.", ["by"])

# What is told of a secret that is not one: the others are told to whoever holds it.
_GUESSES = frozenset({Code.NOT_FOUND, Code.MALFORMED})


class FailedAttempts:
    """Counts failures for each client's address and each public identifier, in the memory of one process.

    A minute's worth of failures is taken as they come, and then as many a minute. What is refused is not looked at, and
    so is no failure. A right secret is refused too meanwhile, for otherwise a guess would be answered after all.
    """

    def __init__(self, settings: Settings) -> None:
        self._addresses = RateLimiter(settings.failures_per_address)
        self._public_ids = RateLimiter(settings.failures_per_public_id)

    def admit(self, address: AnyAddress | None, public_id: str | None) -> None:
        """Raise `TooManyAttempts` for whoever failed too often."""
        for by, limiter, key in self._buckets(address, public_id):
            if seconds := limiter.wait(key):
                REFUSED.labels(by).inc()
                raise TooManyAttempts("too many failed attempts", ceil(seconds))

    def note(self, address: AnyAddress | None, public_id: str | None, code: Code) -> None:
        """Count a verdict, if it is one of somebody who guesses."""
        if code in _GUESSES:
            for _, limiter, key in self._buckets(address, public_id):
                limiter.take(key)

    def _buckets(self, address: AnyAddress | None, public_id: str | None) -> list[tuple[str, RateLimiter, str]]:
        found = []
        if address is not None:
            found.append(("address", self._addresses, subscriber(str(address))))
        if public_id:
            found.append(("public_id", self._public_ids, public_id.strip().lower()))
        return found
