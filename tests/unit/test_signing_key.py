"""The key that access tokens are signed with: what may be decided about it, and what that leaves."""

from datetime import timedelta
from uuid import UUID

import pytest

from ledger.commands import RotateSigningKey
from ledger.errors import InvalidValue
from ledger.events import Recorded
from ledger.signing_key import SigningKey, evolve, rotate_signing_key
from ledger.values import OVERLAP_MAX, SIGNING_KEY_ID, SigningAlgorithm
from tests import given

AT = given.context().at


def rotated(state: SigningKey | None, kid: str, after: timedelta, overlap: timedelta) -> SigningKey:
    """The state after another key began so long after the first."""
    command = RotateSigningKey(
        context=given.context(AT + after),
        kid=kid,
        algorithm=SigningAlgorithm.EDDSA,
        master_key_id="m",
        public_jwk={"kty": "OKP"},
        overlap=overlap,
    )
    (event,) = rotate_signing_key(state, command)
    return evolve(state, Recorded(SIGNING_KEY_ID, state.version + 1 if state else 1, None, event))


def ends(state: SigningKey) -> dict[str, timedelta | None]:
    """When each key ends, counted from the first's beginning."""
    return {key.kid: None if key.expires_at is None else key.expires_at - AT for key in state.keys}


HOUR = timedelta(hours=1)


def test_the_first_key_signs_until_further_notice() -> None:
    state = rotated(None, "a", timedelta(0), HOUR)
    assert isinstance(state.id, UUID)
    assert ends(state) == {"a": None}


def test_the_key_before_ends_with_the_overlap_and_one_that_was_ended_is_not_prolonged() -> None:
    state = rotated(rotated(None, "a", timedelta(0), HOUR), "b", HOUR, HOUR)
    assert ends(state) == {"a": 2 * HOUR, "b": None}
    assert ends(rotated(state, "c", HOUR, 5 * HOUR)) == {"a": 2 * HOUR, "b": 6 * HOUR, "c": None}


def test_without_an_overlap_every_key_before_ends_now() -> None:
    state = rotated(rotated(None, "a", timedelta(0), HOUR), "b", HOUR, 9 * HOUR)
    assert ends(rotated(state, "c", 2 * HOUR, timedelta(0))) == {"a": 2 * HOUR, "b": 2 * HOUR, "c": None}


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), OVERLAP_MAX + timedelta(seconds=1)])
def test_an_overlap_has_bounds(overlap: timedelta) -> None:
    with pytest.raises(InvalidValue, match="overlap_seconds"):
        rotated(None, "a", timedelta(0), overlap)
