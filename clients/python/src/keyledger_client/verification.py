"""What is asked about a presented secret, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

QUESTIONS_MAX = 100  # what `POST /v1/verify/batch` takes at once

TOO_MANY_ATTEMPTS = "TOO_MANY_ATTEMPTS"  # of one question in a batch; a question by itself raises the error

# Codes that do not say that the credential is good. Any other refusal says that it is, and not for this.
_NOT_GOOD = frozenset({"MALFORMED", "NOT_FOUND", "REVOKED", "EXPIRED", "SUSPENDED", TOO_MANY_ATTEMPTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about one secret; what is left out is not required.

    `public_id` is the login or identifier that came with it, `client_ip` the address that it came from. With neither
    `scopes` nor `api` nothing is required of the credential but to be good, so name what you guard.
    """

    secret: str = field(repr=False)
    public_id: str | None = None
    client_ip: str | None = None
    mode: str | None = None
    channel: str | None = None
    scopes: Sequence[str] = ()
    api: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scopes, str):  # a text is a sequence of texts, each of one letter
            raise TypeError("scopes is a sequence of texts, not one text")

    def as_json(self) -> dict[str, Any]:
        """The question as Keyledger reads it."""
        optional = {
            "public_id": self.public_id,
            "client_ip": self.client_ip,
            "mode": self.mode,
            "channel": self.channel,
            "api": self.api,
        }
        asked = {name: value for name, value in optional.items() if value is not None}
        return {"secret": self.secret, "scopes": list(self.scopes), **asked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The verdict, as `POST /v1/verify` answers it.

    It is true where it is valid, and false otherwise: an object that were always true would, in `if verify(...)`, let
    everybody in. The credential is named wherever the secret was right, also where it is refused.

    `code` is `VALID` or why not; later releases may know more codes. `scopes` are what the credential may do now.
    """

    valid: bool
    code: str
    credential_id: UUID | None
    organisation_id: UUID | None
    application_id: UUID | None
    kind: str | None
    public_id: str | None
    mode: str | None
    environment: str | None
    channel: str | None
    scopes: tuple[str, ...]
    expires_at: datetime | None
    request_id: str

    def __bool__(self) -> bool:
        return self.valid

    @property
    def credential_is_good(self) -> bool:
        """Whether the credential itself is good. Where it is and the verdict is not valid, it is not good for this: a
        client is then answered 403, and 401 otherwise.
        """
        return self.code not in _NOT_GOOD

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Verification":
        """The verdict as Keyledger wrote it; fields that this release does not know are passed over.

        Raises `ValueError`, `TypeError` or `KeyError` for what is no verdict.
        """
        if told["valid"] is not (told["code"] == "VALID"):
            raise ValueError("valid and code contradict each other")
        return cls(
            valid=told["valid"],
            code=_text(told["code"]),
            credential_id=_id(told["credential_id"]),
            organisation_id=_id(told["organisation_id"]),
            application_id=_id(told["application_id"]),
            kind=_optional(told["kind"]),
            public_id=_optional(told["public_id"]),
            mode=_optional(told["mode"]),
            environment=_optional(told["environment"]),
            channel=_optional(told["channel"]),
            scopes=tuple(_text(scope) for scope in told["scopes"]),
            expires_at=None if told["expires_at"] is None else datetime.fromisoformat(told["expires_at"]),
            request_id=_text(told["request_id"]),
        )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _id(value: Any) -> UUID | None:
    return None if value is None else UUID(_text(value))
