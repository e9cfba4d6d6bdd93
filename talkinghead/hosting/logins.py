"""Who may enter, and how often somebody may try.

Each address has a few attempts that come back one by one, and so have all addresses together. A browser that entered
before has attempts of its own, so that nobody keeps it out by guessing; and whoever has none left waits for seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

TRIES, TRY_S = 5, 10.0
"""Attempts of one address, and seconds until one comes back."""
ALL_TRIES, ALL_TRY_S = 50, 1.0
"""The same for all addresses together."""
REMEMBERED = 10_000
"""Addresses, browsers that entered, and whoever else has attempts."""


class Bucket:
    """Attempts that are used up and come back with time."""

    def __init__(self, most: int, every_s: float, now_s: float) -> None:
        self.most, self.every_s = most, every_s
        self._left, self._at_s = float(most), now_s

    def _fill(self, now_s: float) -> None:
        self._left = min(float(self.most), self._left + max(0.0, now_s - self._at_s) / self.every_s)
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until there is one; 0 where there is."""
        self._fill(now_s)
        return 0.0 if self._left >= 1 else (1 - self._left) * self.every_s

    def take(self, now_s: float) -> None:
        self._fill(now_s)
        self._left = max(0.0, self._left - 1)

    def give(self) -> None:
        self._left = min(float(self.most), self._left + 1)


class Buckets:
    """The attempts of many, by name.

    Args:
        most, every_s: of each, as for `Bucket`.
    """

    def __init__(self, most: int, every_s: float) -> None:
        self._most, self._every_s = most, every_s
        self._known: OrderedDict[str, Bucket] = OrderedDict()

    def wait_s(self, name: str, now_s: float) -> float:
        """Seconds until there is one; 0 where there is. Of who only asks nothing is remembered."""
        return self._known[name].wait_s(now_s) if name in self._known else 0.0

    def of(self, name: str, now_s: float) -> Bucket:
        """Those of one, from now on remembered."""
        bucket = self._known.pop(name, None) or Bucket(self._most, self._every_s, now_s)
        self._known[name] = bucket
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return bucket


class Logins:
    """Users with their passwords.

    Args:
        pairs: (user, password).
        clock: seconds, for tests.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._key = secrets.token_bytes(32)
        self._known = [self._digest(user, password) for user, password in pairs]
        self._clock = clock
        self._lock = threading.Lock()
        self._all = Bucket(ALL_TRIES, ALL_TRY_S, clock())
        self._places = Buckets(TRIES, TRY_S)
        self._devices: OrderedDict[str, Bucket] = OrderedDict()

    def check(self, user: str, password: str) -> bool:
        """Whether a pair is known; takes the same time for every wrong one."""
        given = self._digest(user, password)
        found = False
        for known in self._known:
            found |= hmac.compare_digest(known, given)
        return found

    def _digest(self, user: str, password: str) -> bytes:
        text = f"{len(user)}:{user}:{password}".encode(errors="surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).digest()

    def attempt(self, address: str, device: str | None) -> float:
        """Use up one attempt.

        Args:
            address: of the visitor.
            device: what `entered` gave to this browser before, or None.
        Returns:
            Seconds to wait if there is none; else 0.
        """
        now = self._clock()
        with self._lock:
            buckets = self._buckets(address, device, now)
            wait = max(bucket.wait_s(now) for bucket in buckets)
            if wait == 0:
                for bucket in buckets:
                    bucket.take(now)
            return wait

    def entered(self, address: str, device: str | None) -> str:
        """Give back the attempt of somebody who knew the password; returns what the browser shall remember."""
        now = self._clock()
        with self._lock:
            for bucket in self._buckets(address, device, now):
                bucket.give()
            if device is None or device not in self._devices:
                device = secrets.token_urlsafe(24)
                self._devices[device] = Bucket(TRIES, TRY_S, now)
                while len(self._devices) > REMEMBERED:
                    self._devices.popitem(last=False)
            return device

    def _buckets(self, address: str, device: str | None, now_s: float) -> list[Bucket]:
        if device is not None and device in self._devices:
            return [self._devices[device]]
        return [self._places.of(place_of(address), now_s), self._all]


def place_of(address: str) -> str:
    """An address as limits count it: of IPv6 the network of 64 bits, of which one visitor has all."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
