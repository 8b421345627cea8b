"""One frozen Settings, read from the environment: every variable the service knows, with its meaning and bounds."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

from ledger.role_grants import RoleGrants
from ledger.values import RETENTION_DAYS_MAX, AnyNetwork, Channel

PREFIX = "KEYLEDGER_"
DATA_DIR = Path(".keyledger")
FOR_TESTS = "KEYLEDGER_TEST_"  # variables of the test suite, which starts the service in its own environment

# PostgreSQL keeps 63 bytes of a name (and pg_ for itself); the rest is for what is named after the schema.
# RFC 8414 section 2, without a path: then its documents stand where every client looks for them.
_ISSUER = re.compile(r"https?://[A-Za-z0-9._~-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
# OpenID Connect Discovery 1.0, section 3: no query and no fragment. Without TLS whoever is between could sign in as
# anyone.
_PROVIDER = re.compile(
    r"(https://[A-Za-z0-9._~\[\]:-]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?)(/[!-\"$->@-~]*)?"
)
# C2SP tlog-checkpoint: an origin is best a URL without its scheme. Neither spaces nor + may be in a key's name.
_LOG_NAME = re.compile("[a-z0-9](?:[a-z0-9.-]{0,98}[a-z0-9])?(?:/[a-z0-9][a-z0-9._-]{0,38}){0,4}")
_HTTP_URL = re.compile(r"https?://[^\s/?#]+(?:[/?][^\s#]*)?")
_SCHEMA = re.compile("[a-z_][a-z0-9_]{0,38}")


_FROM_FILES = ("DATABASE_URL", "MASTER_KEY", "BOOTSTRAP_TOKEN", "OIDC_CLIENT_SECRET")


class SettingsError(Exception):
    """A variable of the environment is wrong; the message names it and says what is expected."""


CHANNEL_KEYS_MAX = 100  # each is looked at when another is created; who needs more has several accounts


class ChannelKeys(NamedTuple):
    """How many live keys an account may have on each channel."""

    ftp: int = 1
    rest: int = 10
    http: int = 1
    web_service: int = 1
    email: int = 1

    def on(self, channel: Channel) -> int:
        """How many on this one."""
        return int(getattr(self, channel))

    def __str__(self) -> str:
        return ",".join(f"{channel}={number}" for channel, number in self._asdict().items())


def _setting(default: Any, meaning: str, bounds: tuple[float, float] | None = None, **more: Any) -> Any:
    """A field with what documentation says of it; `bounds` are the least and the greatest value it may have."""
    if bounds is not None:
        meaning += f", {bounds[0]} to {bounds[1]}"
    return field(default=default, metadata={"meaning": meaning, "bounds": bounds}, **more)


@dataclass(frozen=True, slots=True)
class Settings:
    """How this process runs. Each field is the variable KEYLEDGER_<FIELD>; times are seconds unless the name says else.

    `database_url`, `master_key`, `bootstrap_token` and `oidc_client_secret` may also come from a file named by
    KEYLEDGER_<FIELD>_FILE, as container secrets do.
    """

    database_url: str = _setting("", "libpq URL of a PostgreSQL 15 or later; empty starts the embedded one", repr=False)
    data_dir: Path = _setting(DATA_DIR, "where the embedded PostgreSQL and the master key live")  # noqa: RUF009
    schema: str = _setting("keyledger", "the PostgreSQL schema that holds this log; one schema is one ledger")
    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8080, "port to listen on", (1, 65_535))
    workers: int = _setting(1, "worker processes that serve HTTP", (1, 64))
    threads: int = _setting(8, "threads in each worker: as many commands can share one commit", (1, 256))
    projector: bool = _setting(True, "whether the serving process also runs the projector")
    master_key: str = _setting("", "base64 of 32 random bytes, one key a line, the current one first", repr=False)
    bootstrap_token: str = _setting("", "token of the first administrator; generated where left empty", repr=False)
    pool_size_max: int = _setting(8, "PostgreSQL connections a process may hold", (3, 100))
    commit_batch_max: int = _setting(256, "commands that one commit may carry", (1, 1_000))
    commit_queue_max: int = _setting(2048, "commands that may wait for a commit before 503", (1, 100_000))
    statement_timeout: float = _setting(15.0, "longest a statement may run", (0.1, 3_600))
    lock_timeout: float = _setting(5.0, "longest a statement may wait for a lock", (0.1, 3_600))
    connect_timeout: float = _setting(5.0, "longest to wait for a connection", (0.1, 300))
    projection_poll: float = _setting(1.0, "longest a projection sleeps without a notification", (0.05, 60))
    projection_lag_max: float = _setting(30.0, "lag of a projection after which /readyz says not ready", (1, 86_400))
    usage_flush: float = _setting(
        5.0, "how often usage and readings are written; a crash loses this much", (0.1, 3_600)
    )
    usage_days: int = _setting(
        90, "days for which client addresses and counts of codes are kept for each credential", (1, 366)
    )
    reading_days: int = _setting(365, "days for which it is kept who read histories and hints of secrets", (1, 3_660))
    verification_cache_max: int = _setting(
        50_000,
        "secrets that a worker keeps in memory for verification, some two kilobytes each; 0 for none",
        (0, 5_000_000),
    )
    verification_cache_seconds: float = _setting(60.0, "longest that one is kept without asking again", (0.1, 3_600))
    log_name: str = _setting(
        "", "name of the provable log, like keys.example.com; set it before the first start, or it is a random one"
    )
    seal_seconds: float = _setting(1.0, "longest that an event waits to be sealed", (0.05, 60))
    seal_events: int = _setting(256, "events that wait to be sealed before that time is over", (1, 10_000))
    seal_delay_max: float = _setting(
        3_600.0, "how long sealing may be behind before commands are refused", (10, 604_800)
    )
    signer_memory: str = _setting(
        "", "file that remembers what was signed last; empty for signer.sqlite in the data directory"
    )
    erasures: str = _setting("", "file that lists what was erased; empty for erasures.sqlite in the data directory")
    witnesses: str = _setting(
        "", "policy file (C2SP tlog-policy) of the witnesses that cosign the root log, with their URLs; empty for none"
    )
    witness_seconds: float = _setting(5.0, "how long to wait between asking witnesses", (0.1, 3_600))
    witness_delay_max: float = _setting(
        300.0, "how long a quorum of witnesses may be missing before it is an error", (0.1, 604_800)
    )
    timestamp_url: str = _setting("", "URL of an authority that timestamps root checkpoints (RFC 3161); empty for none")
    timestamp_seconds: float = _setting(3_600.0, "how often a timestamp is asked for at most", (1, 604_800))
    rotation_days: int = _setting(90, "days after which a secret's rotation is due", (1, 3_660))
    retention_days: int = _setting(
        0,
        "days after a credential's end from which its personal data is erased by itself; 0 for never",
        (0, RETENTION_DAYS_MAX),
    )
    report_interval: float = _setting(
        300.0, "how often the metrics' numbers of credentials in each report are counted", (1, 86_400)
    )
    production_hints: str = _setting(
        "all", "who sees the last characters of live secrets: `all`, or those with the grant for production (`granted`)"
    )
    channel_defaults_before: date = _setting(  # noqa: RUF009 - immutable, as is what follows
        date(2023, 6, 6), "master accounts opened before this day begin with the default channels"
    )
    default_channels: tuple[Channel, ...] = _setting(
        (Channel.FTP, Channel.HTTP, Channel.WEB_SERVICE, Channel.EMAIL), "comma-separated channels they begin with"
    )
    channel_keys_max: ChannelKeys = _setting(  # noqa: RUF009
        ChannelKeys(), f"live keys that an account may have on each channel, 0 to {CHANNEL_KEYS_MAX}"
    )
    failures_per_address: int = _setting(
        120,
        "failed verifications a minute that one client's address may make; each worker counts by itself",
        (1, 100_000),
    )
    failures_per_public_id: int = _setting(
        20,
        "failed verifications a minute for one login with a chosen password; each worker counts by itself",
        (1, 100_000),
    )
    revocations_per_minute: int = _setting(
        30, "requests of one address to `/v1/revocations`; each worker takes ten times that from all", (1, 10_000)
    )
    webhook_private_addresses: tuple[AnyNetwork, ...] = _setting(
        (), "comma-separated networks that webhooks may be sent to besides public addresses; also without TLS"
    )
    issuer: str = _setting("", "URL by which clients reach the service, as tokens name it; empty for the address above")
    access_token_seconds: int = _setting(600, "how long an access token is good", (60, 86_400))
    session_idle_seconds: int = _setting(1_800, "how long a session of the console lives without use", (60, 86_400))
    session_seconds: int = _setting(43_200, "how long one lives at most, in use or not", (300, 604_800))
    oidc_issuer: str = _setting("", "OpenID Connect provider at which people sign in to the console; empty for none")
    oidc_client_id: str = _setting("", "the console's client id there")
    oidc_client_secret: str = _setting("", "its secret; empty where the client is a public one", repr=False)
    oidc_scopes: str = _setting("openid profile email", "scopes to ask for; `openid` is one of them")
    oidc_roles_claim: str = _setting("groups", "claim that holds what roles are given by")
    oidc_roles: RoleGrants = _setting(  # noqa: RUF009
        RoleGrants(), "what its values give, the first that fits: `VALUE=ROLE,ROLE+production@ORGANISATION;...`"
    )
    oidc_session_seconds: int = _setting(
        3_600, "how long a session from there lives at most: so late a role taken there is noticed here", (300, 86_400)
    )
    body_bytes_max: int = _setting(65_536, "largest request body that is read", (1_024, 10_485_760))
    trusted_proxies: tuple[AnyNetwork, ...] = _setting((), "comma-separated networks whose X-Forwarded-For is believed")
    log_level: str = _setting("INFO", "DEBUG, INFO, WARNING or ERROR")

    def __post_init__(self) -> None:
        for setting in fields(self):
            bounds = setting.metadata["bounds"]
            if bounds is not None and not bounds[0] <= getattr(self, setting.name) <= bounds[1]:
                raise SettingsError(f"{PREFIX}{setting.name.upper()} must lie between {bounds[0]} and {bounds[1]}")
        if not _SCHEMA.fullmatch(self.schema) or self.schema.startswith("pg_"):
            raise SettingsError(
                f"{PREFIX}SCHEMA must be at most 39 of a-z, 0-9 and _, not begin with a digit, and not with pg_"
            )
        if self.issuer and not _ISSUER.fullmatch(self.issuer):
            raise SettingsError(f"{PREFIX}ISSUER must be a URL like https://keys.example.com, without a path")
        if self.oidc_issuer and not _PROVIDER.fullmatch(self.oidc_issuer):
            raise SettingsError(
                f"{PREFIX}OIDC_ISSUER must be a URL like https://login.example.com; http for loopback alone"
            )
        if self.oidc_issuer and not (self.oidc_client_id and self.oidc_roles.entries):
            raise SettingsError(f"{PREFIX}OIDC_ISSUER takes {PREFIX}OIDC_CLIENT_ID and {PREFIX}OIDC_ROLES besides")
        if "openid" not in self.oidc_scopes.split():
            raise SettingsError(f"{PREFIX}OIDC_SCOPES must name openid")
        if self.timestamp_url and not _HTTP_URL.fullmatch(self.timestamp_url):
            raise SettingsError(f"{PREFIX}TIMESTAMP_URL must be a URL like https://timestamps.example.com/tsr")
        if self.log_name and not _LOG_NAME.fullmatch(self.log_name):
            raise SettingsError(f"{PREFIX}LOG_NAME must be like keys.example.com or example.com/keys, in lower case")
        if not all(0 <= number <= CHANNEL_KEYS_MAX for number in self.channel_keys_max):
            raise SettingsError(f"{PREFIX}CHANNEL_KEYS_MAX must name numbers between 0 and {CHANNEL_KEYS_MAX}")
        if self.production_hints not in ("all", "granted"):
            raise SettingsError(f"{PREFIX}PRODUCTION_HINTS must be all or granted")
        if self.log_level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise SettingsError(f"{PREFIX}LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR")

    @property
    def url(self) -> str:
        """Where the service answers on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def issuer_url(self) -> str:
        """The issuer of access tokens (RFC 8414 section 2)."""
        return self.issuer or self.url

    @property
    def signer_memory_file(self) -> Path:
        """Where the signer of checkpoints remembers what it signed last."""
        return Path(self.signer_memory).expanduser() if self.signer_memory else self.data_dir / "signer.sqlite"

    @property
    def erasures_file(self) -> Path:
        """Where it is listed what was erased, so that a restored backup does not bring it back."""
        return Path(self.erasures).expanduser() if self.erasures else self.data_dir / "erasures.sqlite"

    @property
    def master_key_file(self) -> Path:
        """Where `make run` keeps the master key it makes."""
        return self.data_dir / "master.key"


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that the variables describe.

    Raises `SettingsError` for an unknown KEYLEDGER_ variable (most likely a typing error that would otherwise be
    silently ignored) and for a value that cannot be read.
    """
    environment = os.environ if environment is None else environment
    known = {PREFIX + f.name.upper(): f for f in fields(Settings)}
    from_files = {f"{PREFIX}{name}_FILE" for name in _FROM_FILES}
    values: dict[str, Any] = {}
    for given, content in environment.items():
        variable, text = given, content
        if not given.startswith(PREFIX) or given.startswith(FOR_TESTS):
            continue
        if given in from_files:
            variable, text = given.removesuffix("_FILE"), _read(given, content)
            if variable in environment:
                raise SettingsError(f"set {variable} or {given}, not both")
        if variable not in known:
            raise SettingsError(f"{variable} is not a setting; see README.md for those there are")
        setting = known[variable]
        values[setting.name] = _parse(variable, text, setting.default)
    return Settings(**values)


def _read(variable: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable} names a file that cannot be read: {error}") from None


def _parse(variable: str, text: str, default: object) -> object:
    """The text as a value of the default's type."""
    text = text.strip()
    try:
        match default:
            case bool():
                return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
            case int():
                return int(text)
            case float():
                return float(text)
            case Path() if text:
                return Path(text).expanduser()
            case Path():
                raise ValueError
            case date():
                return date.fromisoformat(text)
            case RoleGrants():
                return RoleGrants.parse(text)
            case ChannelKeys():
                return _channel_keys(text, default)
            case (Channel(), *_):
                return tuple(dict.fromkeys(Channel(part.strip()) for part in text.split(",") if part.strip()))
            case tuple():
                return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
            case _:
                return text
    except (ValueError, KeyError, RuntimeError):  # the last: a home directory that nobody has
        expected = {
            bool: "yes or no",
            int: "a whole number",
            float: "a number",
            type(DATA_DIR): "a directory",
            date: "a day like 2023-06-06",
            RoleGrants: "entries like admins=administrator+production;audit=auditor@ORGANISATION-ID",
            ChannelKeys: "channels and numbers like ftp=1,rest=10",
            tuple: "channels like ftp,http" if default else "networks like 10.0.0.0/8",
        }
        raise SettingsError(f"{variable} must be {expected.get(type(default), 'a text')}") from None


def _channel_keys(text: str, default: ChannelKeys) -> ChannelKeys:
    """The numbers that are given, the others as they are; nothing twice."""
    given: dict[str, int] = {}
    for part in text.split(","):
        channel, _, number = part.partition("=")
        name = Channel(channel.strip())
        if name in given:
            raise ValueError
        given[name] = int(number)
    return default._replace(**given)
