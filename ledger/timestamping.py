"""Timestamps of an authority over checkpoints (RFC 3161): what to ask, and what an answer proves.

The imprint is SHA-256 over the text of a checkpoint, without signatures, so cosignatures that come later do not matter.
Who signs and when is the authority's word; that it is the authority, the certificates' that whoever verifies trusts.
`rfc3161-client` does the work: it is all this takes besides `cryptography`, so an offline verifier may leave it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from cryptography.x509 import Certificate
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

REQUEST_TYPE = "application/timestamp-query"
RESPONSE_TYPE = "application/timestamp-reply"
RESPONSE_BYTES_MAX = 64_000  # a signature and a chain of certificates are 3 to 8 kB


class InvalidTimestamp(ValueError):
    """A response is no timestamp over this checkpoint, or of nobody who is trusted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to an authority: `request` is what to send."""

    text: str
    _request: TimeStampRequest

    @property
    def request(self) -> bytes:
        """The question in DER."""
        return self._request.as_bytes()

    def check(self, response: bytes) -> datetime:
        """The time that the response states; raises InvalidTimestamp unless it answers this very question.

        Whether the authority signed it is not looked at: that takes certificates, which `verify` is given.
        """
        parsed = _granted(response)
        imprint = parsed.tst_info.message_imprint
        if imprint.message != sha256(self.text.encode()).digest():
            raise InvalidTimestamp("the timestamp is over something else")
        if parsed.tst_info.nonce != self._request.nonce:
            raise InvalidTimestamp("the timestamp answers another question")
        if not parsed.signed_data.certificates:
            raise InvalidTimestamp("the timestamp does not bring the certificate of who signed it")
        return parsed.tst_info.gen_time


def ask(text: str) -> Asked:
    """What to ask an authority for a timestamp over a checkpoint's text."""
    builder = TimestampRequestBuilder().data(text.encode()).hash_algorithm(HashAlgorithm.SHA256)
    return Asked(text, builder.nonce(nonce=True).cert_request(cert_request=True).build())


def verify(response: bytes, text: str, roots: Sequence[Certificate]) -> datetime:
    """When an authority of these root certificates saw the text of this checkpoint; raises InvalidTimestamp.

    Certificates have to have been valid at that time, not today.
    """
    if not roots:
        raise InvalidTimestamp("no authority is trusted")
    parsed = _granted(response)
    verifier = VerifierBuilder(roots=list(roots)).build()
    try:
        verifier.verify_message(parsed, text.encode())
    except (VerificationError, ValueError) as error:
        raise InvalidTimestamp(f"the timestamp does not verify: {error}") from None
    return parsed.tst_info.gen_time


def _granted(response: bytes) -> TimeStampResponse:
    if len(response) > RESPONSE_BYTES_MAX:
        raise InvalidTimestamp(f"a timestamp has at most {RESPONSE_BYTES_MAX} bytes")
    try:
        parsed = decode_timestamp_response(response)
        status = PKIStatus(parsed.status)
        if status is not PKIStatus.GRANTED:
            reason = ", ".join(parsed.status_string) or status.name.lower()
            raise InvalidTimestamp(f"the authority refused: {reason}")
        _ = parsed.tst_info.gen_time, parsed.signed_data  # which parses them
    except InvalidTimestamp:
        raise
    except ValueError as error:
        raise InvalidTimestamp(f"this is not a timestamp: {error}") from None
    return parsed
