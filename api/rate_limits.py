"""Rate limits: token buckets in the memory of one process, for what strangers may ask.

A bucket holds a minute's worth, so that a burst is taken as it comes, and fills up evenly. Each process counts by
itself: that needs nothing shared, and a limit that is some times too generous still bounds what it has to bound.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from threading import Lock

# Buckets that are remembered, some two megabytes. Whoever sends from more addresses than this meets the limit of all.
KEYS_MAX = 10_000
# What one subscriber has of IPv6 (RFC 6177): whoever has one address of it has all of them.
IPV6_SUBSCRIBER_BITS = 64


class RateLimiter:
    """Takes `per_minute` for each key. `clock` gives seconds that never go back."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic, keys_max: int = KEYS_MAX) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._keys_max = keys_max
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # what is left, and when that was so
        self._lock = Lock()

    def take(self, key: Hashable) -> float:
        """Take one: 0.0 where there was one, and otherwise the seconds until there is."""
        with self._lock:
            now = self._clock()
            left, then = self._buckets.pop(key, (self._capacity, now))
            left = min(self._capacity, left + (now - then) * self._per_second)
            taken = left >= 1
            self._buckets[key] = (left - taken, now)  # last in the row of those that were asked for
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)  # asked for longest ago, so the fullest there is
        return 0.0 if taken else (1 - left) / self._per_second

    def wait(self, key: Hashable) -> float:
        """Take none: 0.0 where there is one, and otherwise the seconds until there is."""
        with self._lock:
            left, then = self._buckets.get(key, (self._capacity, 0.0))
            left += (self._clock() - then) * self._per_second
        return max(0.0, (1 - left) / self._per_second)

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._buckets)


class AddressLimiter:
    """Takes `per_minute` for each address, and ten times that from all of them together."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = RateLimiter(per_minute, clock)
        self._all = RateLimiter(per_minute * 10, clock, keys_max=1)

    def take(self, address: str) -> float:
        """See `RateLimiter.take`. What an address is refused does not count against the others."""
        return self._each.take(subscriber(address)) or self._all.take("")


@lru_cache(maxsize=KEYS_MAX)  # asked for at every verification that names an address
def subscriber(address: str) -> str:
    """Whom an address stands for: an IPv6 address for its network, anything else for itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    host_bits = parsed.max_prefixlen - IPV6_SUBSCRIBER_BITS
    return str(IPv6Address(int(parsed) >> host_bits << host_bits))
