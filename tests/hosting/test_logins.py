"""Passwords are compared in constant time and cannot be tried often; nobody is locked out for good."""

from __future__ import annotations

import pytest

from talkinghead.hosting.logins import ALL_TRIES, TRIES, TRY_S, Logins, place_of
from tests.hosting.conftest import Clock


@pytest.fixture
def logins(clock: Clock) -> Logins:
    return Logins([("anna", "secret"), ("ben", "a:b")], clock)


def test_pairs_are_known_or_not(logins: Logins) -> None:
    assert logins.check("anna", "secret")
    assert logins.check("ben", "a:b")
    for wrong in (
        ("anna", "a:b"),
        ("ben", "secret"),
        ("ben:a", "b"),
        ("", ""),
        ("anna", "secret\0"),
        ("ANNA", "secret"),
    ):
        assert not logins.check(*wrong)


def test_every_pair_is_compared_whether_one_was_found_or_not(logins: Logins, monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    compared = []
    plain = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(len(a) == len(b)), plain(a, b))[1])
    for pair in (("anna", "secret"), ("anna", "x"), ("nobody", "x" * 1000)):
        compared.clear()
        logins.check(*pair)
        assert compared == [True, True]


def test_one_address_has_a_few_attempts_that_come_back(logins: Logins, clock: Clock) -> None:
    assert [logins.attempt("1.2.3.4", None) for _ in range(TRIES)] == [0.0] * TRIES
    assert 0 < logins.attempt("1.2.3.4", None) <= TRY_S
    assert logins.attempt("1.2.3.5", None) == 0.0
    clock.now += TRY_S
    assert logins.attempt("1.2.3.4", None) == 0.0
    assert logins.attempt("1.2.3.4", None) > 0
    clock.now += 100 * TRY_S
    assert [logins.attempt("1.2.3.4", None) > 0 for _ in range(TRIES + 1)] == [False] * TRIES + [True]


@pytest.mark.thorough
def test_a_day_of_guessing_is_a_few_thousand_guesses(logins: Logins, clock: Clock) -> None:
    guesses = 0
    for _ in range(24 * 3600):
        clock.now += 1
        guesses += logins.attempt("1.2.3.4", None) == 0
    assert guesses < 10_000


def test_all_addresses_together_have_a_limit(logins: Logins, clock: Clock) -> None:
    tried = sum(logins.attempt(f"10.0.{i // 250}.{i % 250}", None) == 0 for i in range(1000))
    assert tried == ALL_TRIES
    clock.now += 5
    assert logins.attempt("10.9.9.9", None) == 0.0


def test_who_entered_before_is_not_kept_out_by_others(logins: Logins) -> None:
    assert logins.attempt("1.2.3.4", None) == 0.0
    device = logins.entered("1.2.3.4", None)
    assert logins.entered("1.2.3.4", device) == device
    while logins.attempt("1.2.3.4", None) == 0.0:
        pass
    for i in range(1000):
        logins.attempt(f"10.0.{i // 250}.{i % 250}", None)
    assert logins.attempt("1.2.3.4", None) > 0
    assert logins.attempt("1.2.3.4", "made-up") > 0
    assert [logins.attempt("1.2.3.4", device) > 0 for _ in range(TRIES + 1)] == [False] * TRIES + [True]


def test_entering_costs_no_attempt(logins: Logins) -> None:
    for _ in range(50):
        assert logins.attempt("1.2.3.4", None) == 0.0
        logins.entered("1.2.3.4", None)


@pytest.mark.parametrize(
    ("address", "place"),
    [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:db8::1", "2001:db8::/64"),
     ("2001:db8::ffff:2", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64"), ("unknown", "unknown")],
)  # fmt: skip
def test_addresses_are_counted_as_visitors_have_them(address: str, place: str) -> None:
    assert place_of(address) == place
