"""Timestamps over root checkpoints, by an authority that is `openssl ts`."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.attesting import Attestation, text_of
from api.wiring import Services
from ledger import timestamping
from ledger.timestamping import InvalidTimestamp
from projections.sealed import attested, reading
from projections.sealed.sealer import sealed_log
from projections.sealed.trees import ROOT
from tests import given
from tests.running.stamping import Authority, authority, serving
from tests.unit.tlog.trees import flipped

TEXT = "ledger.example/root\n3\n/btK74bdmZ2sLgJ+u0d6k3+rERzKdfnqPW4n0MaimUg=\n"


@pytest.fixture
def notary(tmp_path: Path) -> Iterator[Authority]:
    with serving(authority(tmp_path / "authority")) as running:
        yield running


def test_a_timestamp_tells_when_an_authority_that_is_trusted_saw_a_checkpoint(
    notary: Authority, tmp_path: Path
) -> None:
    asked = timestamping.ask(TEXT)
    response = notary.stamp(asked.request)
    at = asked.check(response)
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)
    assert timestamping.verify(response, TEXT, [notary.root]) == at

    with pytest.raises(InvalidTimestamp, match="does not verify"):
        timestamping.verify(response, TEXT.replace("3", "4", 1), [notary.root])
    with pytest.raises(InvalidTimestamp, match="does not verify"):
        timestamping.verify(response, TEXT, [authority(tmp_path / "another").root])
    with pytest.raises(InvalidTimestamp, match="no authority"):
        timestamping.verify(response, TEXT, [])
    with pytest.raises(InvalidTimestamp, match="another question"):
        timestamping.ask(TEXT).check(response)
    with pytest.raises(InvalidTimestamp, match="something else"):
        timestamping.ask("other\n").check(response)


def test_no_flipped_bit_of_a_timestamp_gives_another_time_or_passes_for_another_text(notary: Authority) -> None:
    response = notary.stamp(timestamping.ask(TEXT).request)
    at = timestamping.verify(response, TEXT, [notary.root])
    for bit in range(0, len(response) * 8, 7):  # every byte; all bits take a minute
        changed = flipped(response, bit)
        try:
            told = timestamping.verify(changed, TEXT, [notary.root])
        except InvalidTimestamp:
            continue
        assert told == at  # in a part that nobody signs


@pytest.mark.parametrize("response", [b"", b"x", b"0\x03", b"0\x05" + b"0\x03\x02\x01\x02", bytes(100_000)])
def test_what_is_no_timestamp_is_refused(response: bytes, notary: Authority) -> None:
    with pytest.raises(InvalidTimestamp):
        timestamping.verify(response, TEXT, [notary.root])
    with pytest.raises(InvalidTimestamp):
        timestamping.ask(TEXT).check(response)


def test_the_root_log_is_stamped_once_in_a_while(
    services: Services, notary: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    settings = replace(services.settings, timestamp_url=notary.url, timestamp_seconds=3_600.0)
    attestation = Attestation(replace(services, settings=settings))
    with services.store.connect() as connection:
        attestation.round(connection)  # there is nothing yet
        given.sealed(services)
        attestation.round(connection)
        attestation.round(connection)  # nothing new to stamp
        assert len(notary.asked) == 1
        state = sealed_log(services.log)
        assert state is not None
        kept = attested.newest_timestamp(connection, state.base)
        root = reading.find_tree(connection, ROOT)
        assert kept is not None
        assert root is not None
        assert (kept.size, kept.checkpoint) == (root.signed_size, root.checkpoint)
        assert timestamping.verify(kept.response, text_of(kept.checkpoint), [notary.root]) <= datetime.now(UTC)
        assert attested.first_timestamp(connection, state.base, kept.size - 1) == kept
        assert attested.first_timestamp(connection, state.base, kept.size) is None

        given.an_organisation(services)
        given.sealed(services)
        attestation.round(connection)
        assert len(notary.asked) == 1  # the last is too fresh
        connection.execute("UPDATE root_timestamp SET stamped_at = stamped_at - interval '2 hours'")
        notary.answer = b"busy"
        with caplog.at_level(logging.WARNING):
            attestation.round(connection)
        assert "did not stamp" in caplog.text
        assert len(notary.asked) == 2
        notary.answer = None
        attestation.round(connection)  # whoever failed is left alone for a while
        assert len(notary.asked) == 2
