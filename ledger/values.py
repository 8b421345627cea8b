"""The values of the domain: parsed once, valid from then on, for every caller.

Each constrained text is a `str` that cannot be built wrong: `EmailAddress("x")` raises `InvalidValue`, which names
the field and the reason. Bounds are here, beside their reasons, and nowhere else.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import ClassVar, Self, TypeVar
from uuid import UUID

from ledger.errors import InvalidValue
from ledger.secret_format import holds_secret

NAME_CHARS_MAX = 200  # fits a heading; longer texts belong in the description
REFERENCE_CHARS_MAX = 100  # a customer number or a key of another system, not a text
DESCRIPTION_CHARS_MAX = 2_000
REASON_CHARS_MAX = 1_000  # "why" is a sentence or a ticket's title, not a document
LABELS_MAX = 32
LABEL_CHARS_MAX = 100
NETWORKS_MAX = 200  # an office's or a cloud's egress list; a longer one is a routing table
SCOPES_MAX = 500  # ten times the largest of the five source catalogues
URL_CHARS_MAX = 2_000  # what servers and proxies on the way take
OVERLAP_MAX = timedelta(days=90)  # a rotation that takes longer than a quarter is not a rotation
EXPIRY_MAX = timedelta(days=3_660)  # ten years: beyond that a date is a typing error
PASSWORD_CHARS_MIN = 15  # NIST SP 800-63B-4 section 3.1.1.2, where a password is the only thing that is asked for
RETENTION_DAYS_MAX = 36_600  # a century; what is to be kept for longer is to be kept for ever
PASSWORD_BYTES_MAX = 1_024  # bounds the work of hashing


class Kind(StrEnum):
    """What sort of credential it is; decides how its secret is presented."""

    API_KEY = "api_key"
    OAUTH_CLIENT = "oauth_client"
    KEY_PAIR = "key_pair"
    CHANNEL_LOGIN = "channel_login"


class Mode(StrEnum):
    """Live or test: enforced at verification."""

    LIVE = "live"
    TEST = "test"


class Environment(StrEnum):
    """Where an integration runs. Production is live, the others are test."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"

    @property
    def mode(self) -> Mode:
        """The mode this environment implies."""
        return Mode.LIVE if self is Environment.PRODUCTION else Mode.TEST


class Action(StrEnum):
    """What a permission allows to do with an entity."""

    VIEW = "view"
    EDIT = "edit"


class Channel(StrEnum):
    """The way in that a channel login or key is valid for."""

    FTP = "ftp"
    REST = "rest"
    HTTP = "http"
    WEB_SERVICE = "web_service"
    EMAIL = "email"


class AccessLevel(StrEnum):
    """Every scope of the catalogue as it stands at creation, or chosen ones."""

    FULL = "full"
    FINE_GRAINED = "fine_grained"


class RevocationReason(StrEnum):
    """Why a credential was revoked. Modelled on RFC 5280 section 5.3.1, in the words of API credentials."""

    UNSPECIFIED = "unspecified"
    COMPROMISED = "compromised"
    SUPERSEDED = "superseded"
    NO_LONGER_USED = "no_longer_used"
    OWNER_LEFT = "owner_left"
    POLICY = "policy"


class Role(StrEnum):
    """What an operator may do, in one organisation or in all."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    VIEWER = "viewer"
    VERIFIER = "verifier"


class SigningAlgorithm(StrEnum):
    """What access tokens are signed with, as JWS names it (RFC 8037 section 3.1, RFC 7518 section 3.4)."""

    EDDSA = "EdDSA"
    ES256 = "ES256"


SIGNING_KEY_ID = UUID("00000000-0000-7000-8000-000000000001")
"""The signing key is one for a ledger, there from the start; this names it in its log."""


class AccountKind(StrEnum):
    """A master account, one beneath a master, or a merchant's."""

    MASTER = "master"
    SUB = "sub"
    MERCHANT = "merchant"


class Via(StrEnum):
    """Through which door an action came."""

    API = "api"
    CONSOLE = "console"
    COMMAND_LINE = "command_line"
    SYSTEM = "system"


class Status(StrEnum):
    """What a credential is at a moment. Derived, never stored: time alone changes it."""

    ACTIVE = "active"
    ROTATING = "rotating"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    REVOKED = "revoked"

    @property
    def active(self) -> bool:
        """Whether the badge reads Active: one or two secrets admit the caller."""
        return self in (Status.ACTIVE, Status.ROTATING)


ANY_ENUM = TypeVar("ANY_ENUM", bound=StrEnum)


def one_of(enum: type[ANY_ENUM], value: str, field: str) -> ANY_ENUM:
    """The member of `enum` named `value`; `InvalidValue` lists what is allowed."""
    try:
        return enum(value)
    except ValueError:
        allowed = ", ".join(enum)
        raise InvalidValue(field, f"is not one of {allowed}", "invalid_choice") from None


# What has no glyph can forge a log line, turn a name around on a page, or hide in it, so no text of ours holds it:
# control characters, separators of lines and paragraphs, bidirectional controls, zero-width and other invisible
# characters, tags, lone surrogates. The two joiners (U+200C, U+200D) stay: Persian, the Indic scripts and many emoji
# cannot be written without them. Letters that look alike across scripts are not refused, because nothing is decided by
# a name: decisions go by ids, and what does identify (logins, scopes, public identifiers) is ASCII.
_INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e007f"
)
_BLANK = "\u200c\u200d\u2800"  # allowed, but a name of nothing else could not be seen (the last is Braille's space)
_NOT_ON_ONE_LINE = re.compile(f"[{_INVISIBLE}\t\n\r]")
_NOT_IN_A_TEXT = re.compile(f"[{_INVISIBLE}]")


class _Text(str):
    """A text that is checked when it is built: trimmed, and in Unicode's form NFC, so that what reads the same is the
    same however it was typed."""

    FIELD: ClassVar[str] = "text"
    CHARS_MIN: ClassVar[int] = 0
    CHARS_MAX: ClassVar[int] = NAME_CHARS_MAX
    FORBIDDEN: ClassVar[re.Pattern[str]] = _NOT_ON_ONE_LINE
    __slots__ = ()

    def __new__(cls, value: str, field: str | None = None) -> Self:
        text = unicodedata.normalize("NFC", value.strip())
        field = field or cls.FIELD
        if cls.CHARS_MIN and all(c.isspace() or c in _BLANK for c in text):
            raise InvalidValue(field, "must not be empty", "invalid_length")
        if len(text) < cls.CHARS_MIN:
            raise InvalidValue(field, f"is shorter than {cls.CHARS_MIN} characters", "invalid_length")
        if len(text) > cls.CHARS_MAX:
            raise InvalidValue(field, f"is longer than {cls.CHARS_MAX} characters", "invalid_length")
        if cls.FORBIDDEN.search(text):
            raise InvalidValue(field, "holds control or invisible characters", "forbidden_characters")
        if holds_secret(text):
            raise InvalidValue(field, "holds a secret, which would stay in the history for good", "holds_secret")
        cls.check(text, field)
        return super().__new__(cls, text)

    @classmethod
    def check(cls, text: str, field: str) -> None:
        """Raises `InvalidValue` where `text` breaks a rule of its own kind."""


class Name(_Text):
    """The name of an organisation or an operator: one line, not empty."""

    FIELD = "name"
    CHARS_MIN = 1
    __slots__ = ()


class Subject(str):
    """Whom an identity provider means: 1 to 255 ASCII characters (OpenID Connect Core 1.0, section 2).

    It is kept as it came, since two are the same only if every byte is.
    """

    __slots__ = ()

    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")

    def __new__(cls, value: str) -> Self:
        if not cls._SHAPE.fullmatch(value):
            raise InvalidValue("sub", "must be 1 to 255 printable ASCII characters", "forbidden_characters")
        if holds_secret(value):
            raise InvalidValue("sub", "holds a secret, which would stay in the history for good", "holds_secret")
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody as an identity provider knows them. `issuer` is its URL; a subject means nothing without it."""

    issuer: str
    subject: Subject


class Label(_Text):
    """The optional name of a credential: one line."""

    FIELD = "name"
    __slots__ = ()


class Reference(_Text):
    """The tenant's own number or key for a thing: one line."""

    FIELD = "reference"
    CHARS_MAX = REFERENCE_CHARS_MAX
    __slots__ = ()


class Description(_Text):
    """Free text with line breaks."""

    FIELD = "description"
    CHARS_MAX = DESCRIPTION_CHARS_MAX
    FORBIDDEN = _NOT_IN_A_TEXT
    __slots__ = ()


class Reason(_Text):
    """Why someone did something, in their words."""

    FIELD = "reason"
    CHARS_MAX = REASON_CHARS_MAX
    __slots__ = ()


class LabelKey(_Text):
    """What a label is called: one line, not empty."""

    FIELD = "labels"
    CHARS_MIN = 1
    CHARS_MAX = LABEL_CHARS_MAX
    __slots__ = ()


class LabelValue(_Text):
    """What a label says: one line."""

    FIELD = "labels"
    CHARS_MAX = LABEL_CHARS_MAX
    __slots__ = ()


class EmailAddress(_Text):
    """A mailbox's address (RFC 5321 section 4.1.2), without quoted local parts and address literals.

    Whether mail arrives there is not asked; the shape is, because people mistype. Beyond ASCII, letters, marks and
    digits may stand in it (RFC 6531), but no spaces and no signs that pass for a dot or an at-sign.
    """

    FIELD = "contact_email"
    CHARS_MAX = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
    __slots__ = ()

    _ATOM: ClassVar[str] = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u0080-\U0010ffff-]+"
    _LABEL: ClassVar[str] = (
        r"[A-Za-z0-9\u0080-\U0010ffff](?:[A-Za-z0-9\u0080-\U0010ffff-]{0,61}[A-Za-z0-9\u0080-\U0010ffff])?"
    )
    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})+")
    _LOCAL_BYTES_MAX: ClassVar[int] = 64  # RFC 5321 section 4.5.3.1.1

    @classmethod
    def check(cls, text: str, field: str) -> None:
        local, _, domain = text.partition("@")
        if (
            not cls._SHAPE.fullmatch(text)
            or len(local.encode()) > cls._LOCAL_BYTES_MAX
            or len(text.encode()) > cls.CHARS_MAX
            or domain.rpartition(".")[2].isdigit()  # an IP address; no top-level domain is a number (RFC 3696)
            or not all(c.isascii() or unicodedata.category(c)[0] in "LMN" for c in text)
        ):
            raise InvalidValue(field, "is not a valid email address", "invalid_email")


class Scope(_Text):
    """One permission, `entity:action` (an RFC 6749 section 3.3 scope token)."""

    FIELD = "scopes"
    CHARS_MAX = 100
    __slots__ = ()

    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*:[a-z][a-z0-9_]*")

    @classmethod
    def check(cls, text: str, field: str) -> None:
        if not cls._SHAPE.fullmatch(text):
            raise InvalidValue(field, "is not of the form entity:action", "invalid_scope")


class CatalogueName(_Text):
    """What a catalogue calls a group, an entity or an API: the part of a scope before its colon."""

    FIELD = "name"
    CHARS_MIN = 1
    CHARS_MAX = 80  # with an action behind it, it is still a scope
    __slots__ = ()

    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*")

    @classmethod
    def check(cls, text: str, field: str) -> None:
        if not cls._SHAPE.fullmatch(text):
            reason = "may hold small letters, digits, _ and . only, and starts with a letter"
            raise InvalidValue(field, reason, "invalid_name")


class Login(_Text):
    """The user name of a channel login: letters, digits and `. _ - @ +`; letter case does not tell two apart."""

    FIELD = "login"
    CHARS_MIN = 3
    CHARS_MAX = 100
    __slots__ = ()

    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]*")

    @classmethod
    def check(cls, text: str, field: str) -> None:
        if not cls._SHAPE.fullmatch(text):
            reason = "may hold letters, digits and . _ - @ + only, and starts with a letter or digit"
            raise InvalidValue(field, reason, "invalid_login")


class PublicId(_Text):
    """A credential's public identifier: what may stand in a configuration file or a log."""

    FIELD = "public_id"
    CHARS_MIN = 3
    CHARS_MAX = 200
    __slots__ = ()

    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(r"[\x21-\x7e]+")

    @classmethod
    def check(cls, text: str, field: str) -> None:
        if not cls._SHAPE.fullmatch(text):
            raise InvalidValue(field, "may hold printable ASCII without spaces only", "forbidden_characters")


class WebhookUrl(_Text):
    """An absolute `https` or `http` URL (RFC 3986) in ASCII, without a user, a password or a fragment.

    Whether `http` is good enough, and where the host may be, is for whoever sends (`api/webhook_sending.py`).
    """

    FIELD = "url"
    CHARS_MIN = 1
    CHARS_MAX = URL_CHARS_MAX
    __slots__ = ()

    # A host's labels (RFC 952, RFC 1123) or an IPv4 address, or an IPv6 address in brackets; a port; a path; a query.
    _SHAPE: ClassVar[re.Pattern[str]] = re.compile(
        r"https?://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
        r"|\[(?P<ipv6>[0-9a-f:.]+)\])(?::(?P<port>[0-9]{1,5}))?"
        r"(?:/[a-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[a-z0-9._~!$&'()*+,;=:@%/?-]*)?",
        re.IGNORECASE | re.ASCII,
    )

    @classmethod
    def check(cls, text: str, field: str) -> None:
        found = cls._SHAPE.fullmatch(text)
        if found is None or not 0 < int(found["port"] or 443) < 2**16 or not _is_ipv6(found["ipv6"] or "::"):
            reason = "is not an absolute https URL in ASCII without a user, a password or a fragment"
            raise InvalidValue(field, reason, "invalid_url")


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


AnyNetwork = IPv4Network | IPv6Network
AnyAddress = IPv4Address | IPv6Address


class Network(str):
    """A network in CIDR form, or one address, in its canonical spelling (`192.0.2.0/24`, `2001:db8::1/128`).

    An IPv4-mapped IPv6 network (RFC 4291 section 2.5.5.2) is its IPv4 one. Host bits set are refused, as the writer
    may have meant another network.
    """

    __slots__ = ()

    def __new__(cls, value: str, field: str = "allowlist") -> Self:
        text = value.strip()
        if "%" in text:
            raise InvalidValue(field, "an address with a zone means something on one machine only", "invalid_network")
        try:
            network = ip_network(text)
        except ValueError:
            try:
                loose = ip_network(text, strict=False)
            except ValueError:
                reason = "is not an IP address or a network in CIDR form"
                raise InvalidValue(field, reason, "invalid_network") from None
            raise InvalidValue(field, f"has host bits set: did you mean {loose}?", "invalid_network") from None
        return super().__new__(cls, str(unmapped_network(network)))


def unmapped_network(network: AnyNetwork) -> AnyNetwork:
    """The IPv4 network that an IPv4-mapped IPv6 one stands for; any other as it is."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def unmapped_address(address: AnyAddress) -> AnyAddress:
    """The IPv4 address that an IPv4-mapped IPv6 one stands for; any other as it is."""
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


# As long as one can be (INET6_ADDRSTRLEN) with an interface's name (IFNAMSIZ). A zone by itself has no end, and what is
# remembered below must not grow with it.
ADDRESS_CHARS_MAX = 62


@lru_cache(maxsize=10_000)  # the same clients come again and again; some three megabytes
def parse_address(value: str, field: str = "client_ip") -> AnyAddress:
    """One IP address, an IPv4-mapped one as its IPv4 one; `InvalidValue` otherwise.

    A zone (RFC 4007 section 11) is left out: it says by which interface of some host the address was reached.
    """
    try:
        if len(value) > ADDRESS_CHARS_MAX:
            raise ValueError
        address = ip_address(value.strip())
    except ValueError:
        raise InvalidValue(field, "is not an IP address", "invalid_address") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        address = IPv6Address(int(address))
    return unmapped_address(address)


def networks(values: Iterable[str]) -> tuple[Network, ...]:
    """An allowlist: distinct networks in the order given. The empty one allows every address."""
    found = dict.fromkeys(Network(value, f"allowlist.{index}") for index, value in enumerate(values))
    if len(found) > NETWORKS_MAX:
        raise InvalidValue("allowlist", f"holds more than {NETWORKS_MAX} networks", "invalid_length")
    return tuple(found)


def scopes(values: Iterable[str], field: str = "scopes") -> tuple[Scope, ...]:
    """Distinct scopes, sorted, so that equal grants are equal bytes."""
    found = {Scope(value, f"{field}.{index}") for index, value in enumerate(values)}
    if len(found) > SCOPES_MAX:
        raise InvalidValue(field, f"holds more than {SCOPES_MAX} scopes", "invalid_length")
    return tuple(sorted(found))


def labels(values: Mapping[str, str]) -> dict[str, str]:
    """Free key-value pairs for people's own bookkeeping, sorted by key."""
    if len(values) > LABELS_MAX:
        raise InvalidValue("labels", f"holds more than {LABELS_MAX} labels", "invalid_length")
    checked: dict[str, str] = {}
    for key, value in values.items():
        name = LabelKey(key, "labels")
        if name in checked:
            raise InvalidValue(f"labels.{name}", "is there twice", "duplicate_field")
        checked[name] = LabelValue(value, f"labels.{name}")
    return dict(sorted(checked.items()))


def utc(value: datetime, field: str) -> datetime:
    """The moment in UTC; a time without a zone is refused, as it names a different moment in every place."""
    if value.tzinfo is None:
        raise InvalidValue(field, "has no time zone: end it in Z or an offset", "invalid_time")
    try:
        return value.astimezone(UTC)
    except OverflowError:  # the first or the last hours of the calendar, elsewhere
        raise InvalidValue(field, "lies outside the calendar", "invalid_time") from None


def in_the_future(value: datetime, now: datetime, field: str, at_most: timedelta = EXPIRY_MAX) -> datetime:
    """The moment in UTC, later than `now` and at most `at_most` after it."""
    moment = utc(value, field)
    if moment <= now:
        raise InvalidValue(field, "lies in the past", "past_time")
    if moment - now > at_most:
        raise InvalidValue(field, f"lies more than {at_most.days} days ahead", "invalid_time")
    return moment


ANY_TEXT = TypeVar("ANY_TEXT", bound=str)


def optional(build: Callable[[str], ANY_TEXT], value: str | None) -> ANY_TEXT | None:
    """`build(value)`, or None for an absent or blank value."""
    return build(value) if value and value.strip() else None


SEALED_LOG_ID = UUID("00000000-0000-7000-8000-000000000002")
"""The provable log is one for a ledger; this names it in its own log."""
