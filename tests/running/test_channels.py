"""A door for each channel, out of the examples, in its real program and with clients that others wrote.

What holds for all of them stands first: each lets in the keys of its own channel, and shuts when a key is revoked.
"""

import base64
import ftplib
import io
import itertools
import os
import re
import shutil
import smtplib
import socketserver
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from uuid import UUID

import pytest
import requests
import zeep
from zeep.exceptions import Fault
from zeep.transports import Transport
from zeep.wsse import UsernameToken

from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import Command, RevokeCredential, SuspendCredential
from ledger.issuing import issue_credential
from ledger.service import CREDENTIAL
from ledger.values import Channel, Kind, Login, Mode, Network, Scope
from tests import given
from tests.ports import free_port
from tests.programs import program, root
from tests.running.doors import (
    EXAMPLES,
    GRANIAN,
    SECONDS_MAX,
    Installation,
    ask,
    basic,
    certify,
    example,
    running,
    soon,
)
from tests.running.proxies import a_front

Knock = Callable[[str, str], bool]

_numbers = itertools.count()


@dataclass(frozen=True)
class Door:
    """A server of one channel: how it is opened, and what kind of credential is presented there."""

    channel: Channel
    opened: Callable[[Installation, Path], AbstractContextManager[Knock]]
    kind: Kind = Kind.CHANNEL_LOGIN


def environment(installation: Installation, directory: Path) -> dict[str, str]:
    """What the examples in Python are told."""
    token_file = directory / "gateway-token"
    token_file.write_text(installation.token + "\n")
    return {
        **os.environ,
        "KEYLEDGER_URL": installation.url,
        "KEYLEDGER_GATEWAY_TOKEN_FILE": str(token_file),
    }


# --- HTTP and REST: nginx, with one word more in its configuration ---------------------------------------------------


@contextmanager
def _http(installation: Installation, directory: Path) -> Iterator[Knock]:
    with a_front("nginx", directory, installation, changes={"?mode=live&": "?mode=live&channel=http&"}) as front:
        yield lambda login, secret: ask(front.port, basic(login, secret)).status == 200


@contextmanager
def _rest(installation: Installation, directory: Path) -> Iterator[Knock]:
    with a_front("nginx", directory, installation, changes={"?mode=live&": "?mode=live&channel=rest&"}) as front:
        yield lambda _, secret: ask(front.port, {"X-API-Key": secret}).status == 200


# --- FTP: pyftpdlib --------------------------------------------------------------------------------------------------


@contextmanager
def ftp_server(installation: Installation, directory: Path) -> Iterator[int]:
    """examples/ftp, serving a directory `files`."""
    files, port = directory / "files", free_port()
    files.mkdir()
    command = [sys.executable, "-m", "ftp", "--port", str(port), "--root", str(files)]
    with running(command, port, environment(installation, directory), cwd=EXAMPLES, output=directory / "ftp.log"):
        yield port


@contextmanager
def ftp_session(port: int, login: str, secret: str) -> Iterator[ftplib.FTP]:
    """A client that has signed in."""
    with ftplib.FTP(timeout=SECONDS_MAX) as client:  # noqa: S321 - it is what is tested
        client.connect("127.0.0.1", port)
        client.login(login, secret)
        yield client


def _signs_in_by_ftp(port: int) -> Knock:
    def knock(login: str, secret: str) -> bool:
        try:
            with ftp_session(port, login, secret):
                return True
        except ftplib.error_perm as refused:
            if not str(refused).startswith("530 "):
                raise
            return False

    return knock


@contextmanager
def _ftp(installation: Installation, directory: Path) -> Iterator[Knock]:
    with ftp_server(installation, directory) as port:
        yield _signs_in_by_ftp(port)


# --- FTP: ProFTPD ----------------------------------------------------------------------------------------------------


@contextmanager
def _proftpd(installation: Installation, _: Path) -> Iterator[Knock]:
    proftpd = program("proftpd")
    with _open_to_all("ProFTPD") as place:
        files, logins, port = place / "files", place / "logins", free_port()
        files.mkdir()
        logins.touch(mode=0o600)
        token = place / "token"
        token.write_text(installation.token)
        example("keyledger_verify.py", place, {})
        service = example(
            "proftpd/keyledger-ftp.pam",
            place,
            {
                "http://127.0.0.1:8080": installation.url,
                "/etc/proftpd/keyledger-gateway-token": str(token),
                "/usr/bin/python3": sys.executable,
                "/usr/local/lib/keyledger/pam_login.py": str(example("proftpd/pam_login.py", place, {})),
            },
        )
        # The one place where PAM looks.
        installed = Path("/etc/pam.d") / f"keyledger-test-{os.getpid()}"
        shutil.copy(service, installed)
        try:
            places = {
                "Port 2121": f"Port {port}",
                " /run/": f" {place}/",
                "AuthPAMConfig keyledger-ftp": f"AuthPAMConfig {installed.name}",
                "/etc/proftpd/keyledger.passwd": str(logins),
            }
            configuration = example("proftpd/proftpd.conf", place, places)
            with running([proftpd, "-n", "-c", str(configuration)], port, output=place / "proftpd.log"):
                signs_in, one_at_a_time, known = _signs_in_by_ftp(port), Lock(), set()
                commands = _commands_for_a_login().replace("/srv/files", str(files))
                commands = commands.replace("/etc/proftpd/keyledger.passwd", str(logins))

                def knock(login: str, secret: str) -> bool:
                    with one_at_a_time:
                        if login not in known:
                            ran = subprocess.run(
                                ["bash", "-ec", commands],
                                env={**os.environ, "LOGIN": login},
                                capture_output=True,
                                text=True,
                                timeout=SECONDS_MAX,
                            )
                            assert ran.returncode == 0, ran.stderr
                            known.add(login)
                    return signs_in(login, secret)

                yield knock
        finally:
            installed.unlink()


def _commands_for_a_login() -> str:
    """Those that the example's own page names for it."""
    found = re.search(
        r"^ +install -d(?:.*\\?\n)+? .*<<< none$", (EXAMPLES / "proftpd/README.md").read_text(), re.MULTILINE
    )
    assert found is not None
    return found[0]


@contextmanager
def _open_to_all(name: str) -> Iterator[Path]:
    """A directory for a server whose processes have users of their own: pytest's are closed to those."""
    root(f"{name} gives its processes users of their own")
    with tempfile.TemporaryDirectory(prefix="keyledger-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


# --- Web Service: WS-Security over TLS -------------------------------------------------------------------------------


@dataclass(frozen=True)
class WebService:
    """examples/soap on granian, with a certificate of its own."""

    url: str
    certificate: Path

    def session(self) -> requests.Session:
        """A client that trusts the certificate."""
        session = requests.Session()
        session.trust_env = False  # or what the environment trusts would take the certificate's place
        session.verify = str(self.certificate)
        return session

    def call(self, token: UsernameToken | None) -> Any:
        """The operation, by zeep, which reads the WSDL first."""
        with self.session() as session:
            client = zeep.Client(self.url, wsse=token, transport=Transport(session=session, timeout=SECONDS_MAX))
            return client.service.WhoAmI()


@contextmanager
def a_web_service(installation: Installation, directory: Path) -> Iterator[WebService]:
    """The service, from when it listens."""
    certificate, key, port = directory / "certificate.pem", directory / "key.pem", free_port()
    certify(certificate, key)
    command = [*GRANIAN, "--interface", "wsgi", "--port", str(port), "--log-level", "error"]
    command += ["--ssl-certificate", str(certificate), "--ssl-keyfile", str(key), "soap:application"]
    with running(command, port, environment(installation, directory), cwd=EXAMPLES):
        yield WebService(f"https://127.0.0.1:{port}/", certificate)


@contextmanager
def _web_service(installation: Installation, directory: Path) -> Iterator[Knock]:
    with a_web_service(installation, directory) as service:

        def knock(login: str, secret: str) -> bool:
            try:
                service.call(UsernameToken(login, secret))
            except Fault as fault:
                if fault.code != "wsse:FailedAuthentication":
                    raise
                return False
            return True

        yield knock


# --- Email: submission by Dovecot -------------------------------------------------------------------------------------


class _Relay(socketserver.ThreadingTCPServer):
    """The mail server behind Dovecot: takes every letter, and keeps it."""

    def __init__(self) -> None:
        self.letters: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _RelaySession)


class _RelaySession(socketserver.StreamRequestHandler):
    """What of SMTP (RFC 5321) it takes to get a letter."""

    server: _Relay

    def handle(self) -> None:
        self._say("220 relay ESMTP")
        for line in self.rfile:
            match line.split()[0].upper():
                case b"QUIT":
                    return self._say("221 Bye")
                case b"DATA":
                    self._say("354 Go on")
                    letter = b"".join(iter(self.rfile.readline, b".\r\n"))
                    self.server.letters.append(letter)
                    self._say("250 Taken")
                case _:
                    self._say("250 Fine")
        return None

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


@dataclass(frozen=True)
class Mail:
    """examples/dovecot, and the letters that came through."""

    port: int
    certificate: Path
    letters: list[bytes]

    @contextmanager
    def session(self, login: str, secret: str) -> Iterator[smtplib.SMTP]:
        """A client that has signed in."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=SECONDS_MAX) as client:
            client.starttls(context=ssl.create_default_context(cafile=self.certificate))
            if secret.isascii():
                client.login(login, secret)
            else:  # which smtplib cannot write; in UTF-8 (RFC 4616 section 2)
                client.ehlo()
                told = client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{login}\0{secret}".encode()).decode())
                if told[0] != 235:
                    raise smtplib.SMTPAuthenticationError(*told)
            yield client


@contextmanager
def a_mail_server(installation: Installation) -> Iterator[Mail]:
    """The example, in front of a mail server."""
    dovecot = program("dovecot")
    with ExitStack() as stack:
        directory = stack.enter_context(_open_to_all("Dovecot"))
        relay = stack.enter_context(_Relay())
        Thread(target=relay.serve_forever, daemon=True).start()
        stack.callback(relay.shutdown)
        certificate, key, token, port = (
            *(directory / name for name in ("certificate.pem", "key.pem", "token")),
            free_port(),
        )
        certify(certificate, key)
        token.write_text(installation.token)
        token.chmod(0o400)
        shutil.chown(token, "dovecot")
        script = example(
            "dovecot/keyledger.lua",
            directory,
            {"http://127.0.0.1:8080": installation.url, "/etc/dovecot/keyledger-gateway-token": str(token)},
        )
        places = {
            "base_dir = /run/dovecot": f"base_dir = {directory}/run\nstate_dir = {directory}/state",
            "/etc/dovecot/certificate.pem": str(certificate),
            "/etc/dovecot/key.pem": str(key),
            "port = 587": f"port = {port}",
            "submission_relay_port = 25": f"submission_relay_port = {relay.server_address[1]}",
            "/etc/dovecot/keyledger.lua": str(script),
            # Whoever guesses waits, and so would the tests.
            "auth_mechanisms = plain": "auth_mechanisms = plain\nauth_failure_delay = 0\n"
            "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n",
        }
        configuration = example("dovecot/dovecot.conf", directory, places)
        with running([dovecot, "-F", "-c", str(configuration)], port, output=directory / "dovecot.log"):
            yield Mail(port, certificate, relay.letters)


@contextmanager
def _email(installation: Installation, _: Path) -> Iterator[Knock]:
    with a_mail_server(installation) as mail:

        def knock(login: str, secret: str) -> bool:
            try:
                with mail.session(login, secret):
                    return True
            except smtplib.SMTPAuthenticationError as refused:
                if refused.smtp_code != 535:
                    raise
                return False

        yield knock


DOORS = {
    "http by Basic at nginx": Door(Channel.HTTP, _http),
    "rest by an API key at nginx": Door(Channel.REST, _rest, Kind.API_KEY),
    "ftp at pyftpdlib": Door(Channel.FTP, _ftp),
    "ftp at ProFTPD": Door(Channel.FTP, _proftpd),
    "web service by WS-Security": Door(Channel.WEB_SERVICE, _web_service),
    "email at Dovecot": Door(Channel.EMAIL, _email),
}


# --- what holds for all ----------------------------------------------------------------------------------------------


def a_key(installation: Installation, channel: Channel, kind: Kind, **changes: Any) -> tuple[UUID, str, str]:
    """A new key of a channel: its id, its login (none for an API key, which stands for itself) and its secret."""
    login = Login(f"login-{next(_numbers)}") if kind is Kind.CHANNEL_LOGIN else None
    credential_id, secret = installation.key(kind=kind, channel=channel, login=login, **changes)
    return credential_id, str(login or ""), secret


@dataclass(frozen=True)
class Opened:
    """A door that is open, and what its tests need."""

    door: Door
    knock: Knock
    installation: Installation

    def key(self, channel: Channel | None = None, **changes: Any) -> tuple[UUID, str, str]:
        """A new key of a channel, this door's unless another one is named: its id, login and secret."""
        return a_key(self.installation, channel or self.door.channel, self.door.kind, **changes)

    def knock_at_once(self, keys: Sequence[tuple[str, str]]) -> list[bool]:
        """Who of several is let in. A server takes its time to refuse, so all of them knock together."""
        with ThreadPoolExecutor(len(keys)) as pool:
            return list(pool.map(lambda key: self.knock(*key), keys))


@pytest.fixture(scope="module", params=DOORS)
def opened(
    request: pytest.FixtureRequest, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    """Each of the doors, once for all tests here."""
    door = DOORS[request.param]
    with door.opened(installation, tmp_path_factory.mktemp("door")) as knock:
        yield Opened(door, knock, installation)


def test_a_key_of_one_channel_is_let_in_there_and_nowhere_else(opened: Opened) -> None:
    keys = [opened.key(channel)[1:] for channel in Channel]

    let_in = opened.knock_at_once(keys)

    assert let_in == [channel is opened.door.channel for channel in Channel]


def test_a_key_for_testing_is_let_in_nowhere(opened: Opened) -> None:
    _, login, secret = opened.key(mode=Mode.TEST)
    assert not opened.knock(login, secret)


def test_a_key_of_no_channel_is_not_let_in_where_its_identifier_would_do_for_a_login(opened: Opened) -> None:
    credential_id, secret = opened.installation.key(kind=Kind.OAUTH_CLIENT)
    state = opened.installation.services.ledger.load(CREDENTIAL, credential_id)
    through_nginx = opened.door.channel in (Channel.HTTP, Channel.REST)  # where any credential for HTTP is presented
    assert through_nginx or not opened.knock(state.public_id, secret)


# The doors for which a login and a password can be chosen: an API key never is.
CHOOSABLE = [name for name, door in DOORS.items() if door.kind is not Kind.API_KEY]
# All signs that a login may have, and as many as it may; and such as servers, shells and formats take for their own.
LOGIN = "Orders+eu_2.files-1@mail-{}.example.com".ljust(98, "x")
PASSWORD = "four 'tall' \"birds\" & <b>: 100% \\ $HOME %u {} ,; ="


@pytest.mark.parametrize("opened", CHOOSABLE, indirect=True)
@pytest.mark.parametrize("password", [PASSWORD, "zwölf Boxkämpfer für 12 €"], ids=["signs", "letters"])
def test_whoever_chose_a_login_and_a_password_is_let_in_with_all_their_signs(opened: Opened, password: str) -> None:
    services, login = opened.installation.services, LOGIN.format(next(_numbers))
    command, _ = issue_credential(
        services.keyring.digests,
        DEFAULT_CATALOGUE,
        given.context(),
        opened.installation.organisation,
        kind=opened.door.kind,
        mode="live",
        channel=opened.door.channel,
        login=login,
        chosen_secret=password,
        contact_email="dev@example.com",
        preset="full_access",
    )
    services.ledger.handle(command)

    assert opened.knock(login, password)
    assert opened.knock(login.upper(), password)
    assert not opened.knock(login, password + "=")


def test_a_wrong_secret_and_another_ones_login_are_refused(opened: Opened) -> None:
    _, login, secret = opened.key()
    _, another, _ = opened.key()

    mistyped = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    wrong = [(login, mistyped), (login, "nothing"), ("nobody", "nothing")]
    if opened.door.kind is Kind.CHANNEL_LOGIN:
        wrong += [(another, secret)]

    assert not any(opened.knock_at_once(wrong))


@pytest.mark.parametrize("ends", [RevokeCredential, SuspendCredential])
def test_revoking_or_suspending_shuts_the_door_at_once(opened: Opened, ends: type[Command]) -> None:
    credential_id, login, secret = opened.key()
    assert opened.knock(login, secret)

    opened.installation.handle(ends, credential_id)

    assert soon(lambda: not opened.knock(login, secret))


def test_the_door_tells_keyledger_the_address_of_who_knocks(opened: Opened) -> None:
    _, *here = opened.key(networks=(Network("127.0.0.0/8"),))
    _, *elsewhere = opened.key(networks=(Network("192.0.2.0/24"),))

    assert (opened.knock(*here), opened.knock(*elsewhere)) == (True, False)


# --- what is FTP's alone ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ftp_port(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of examples/ftp, once for all tests here."""
    with ftp_server(installation, tmp_path_factory.mktemp("ftp")) as port:
        yield port


def an_ftp_key(installation: Installation, **changes: Any) -> tuple[UUID, str, str]:
    """A new channel login for FTP."""
    return a_key(installation, Channel.FTP, Kind.CHANNEL_LOGIN, **changes)


def test_files_go_there_and_back_and_nobody_sees_another_ones(installation: Installation, ftp_port: int) -> None:
    both = (Scope("customer:view"), Scope("customer:edit"))
    _, *mine = an_ftp_key(installation, scopes=both)
    _, *theirs = an_ftp_key(installation, scopes=both)
    received = io.BytesIO()

    with ftp_session(ftp_port, *mine) as client:
        client.storbinary("STOR order.csv", io.BytesIO(b"an order"))
        client.retrbinary("RETR order.csv", received.write)
        listed = client.nlst()
    with ftp_session(ftp_port, *theirs) as client:
        listed_by_another = client.nlst()

    assert (received.getvalue(), listed, listed_by_another) == (b"an order", ["order.csv"], [])


def test_who_may_only_view_writes_nothing(installation: Installation, ftp_port: int) -> None:
    _, login, secret = an_ftp_key(installation, scopes=(Scope("customer:view"),))

    with ftp_session(ftp_port, login, secret) as client:
        with pytest.raises(ftplib.error_perm, match="550"):
            client.storbinary("STOR order.csv", io.BytesIO(b"an order"))
        assert client.nlst() == []


def test_a_session_ends_with_its_credential(installation: Installation, ftp_port: int) -> None:
    credential_id, login, secret = an_ftp_key(installation)

    with ftp_session(ftp_port, login, secret) as client:
        assert client.pwd() == "/"
        installation.handle(RevokeCredential, credential_id)
        assert soon(lambda: _is_told_to_go(client))
        with pytest.raises((EOFError, OSError)):
            client.pwd()


def _is_told_to_go(client: ftplib.FTP) -> bool:
    try:
        client.pwd()
    except ftplib.error_temp as told:
        return str(told).startswith("421 Logged out")
    return False


def test_nobody_logs_in_by_ftp_while_the_api_does_not_answer(installation: Installation, ftp_port: int) -> None:
    _, login, secret = an_ftp_key(installation)

    with (
        installation.wire.cut(),
        pytest.raises(ftplib.error_perm, match="Nobody can log in now"),
        ftp_session(ftp_port, login, secret),
    ):
        pass
    with ftp_session(ftp_port, login, secret) as client:
        assert client.pwd() == "/"


@pytest.mark.parametrize(("login", "secret"), [("nobody", "x" * 1_025), ("x" * 201, "nothing")])
def test_what_can_be_no_login_is_refused_by_ftp_as_a_wrong_one_is(ftp_port: int, login: str, secret: str) -> None:
    with pytest.raises(ftplib.error_perm, match="530 Authentication failed"), ftp_session(ftp_port, login, secret):
        pass


# --- what is the web service's alone ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def web_service(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebService]:
    """examples/soap, once for all tests here."""
    with a_web_service(installation, tmp_path_factory.mktemp("soap")) as service:
        yield service


def a_web_key(installation: Installation) -> tuple[UUID, str, str]:
    """A new channel login for the web service."""
    return a_key(installation, Channel.WEB_SERVICE, Kind.CHANNEL_LOGIN)


def test_the_operation_knows_who_called_it(installation: Installation, web_service: WebService) -> None:
    credential_id, login, secret = a_web_key(installation)

    told = web_service.call(UsernameToken(login, secret))

    assert told.credentialId == str(credential_id)
    assert "customer:view" in told.scope


def test_a_digest_is_refused_with_the_reason(installation: Installation, web_service: WebService) -> None:
    _, login, secret = a_web_key(installation)

    with pytest.raises(Fault, match="PasswordDigest is not taken") as refused:
        web_service.call(UsernameToken(login, secret, use_digest=True))

    assert refused.value.code.endswith("UnsupportedSecurityToken")


@pytest.mark.parametrize(("login", "secret"), [("nobody", "x" * 1_025), ("x" * 201, "nothing")])
def test_what_can_be_no_login_is_refused_by_the_web_service_as_a_wrong_one_is(
    web_service: WebService, login: str, secret: str
) -> None:
    with pytest.raises(Fault) as refused:
        web_service.call(UsernameToken(login, secret))
    assert refused.value.code == "wsse:FailedAuthentication"


def test_no_token_is_a_fault(web_service: WebService) -> None:
    with pytest.raises(Fault, match="present one UsernameToken"):
        web_service.call(None)


@pytest.mark.parametrize(
    "envelope",
    [
        b"",
        b"not XML",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16"),
        b"\xff\xfe",
    ],
)
def test_what_is_no_envelope_is_a_fault_of_the_client(web_service: WebService, envelope: bytes) -> None:
    with web_service.session() as session:
        answer = session.post(web_service.url, envelope, timeout=SECONDS_MAX)

    assert answer.status_code == 500  # as SOAP 1.1 has it for every fault (section 6.2)
    assert "<faultcode>soap:Client</faultcode>" in answer.text or "InvalidSecurity" in answer.text


def test_the_web_service_lets_nobody_in_while_the_api_does_not_answer(
    installation: Installation, web_service: WebService
) -> None:
    _, login, secret = a_web_key(installation)

    with installation.wire.cut(), pytest.raises(Fault, match="nobody can sign in now"):
        web_service.call(UsernameToken(login, secret))


# --- what is email's alone -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mail(installation: Installation) -> Iterator[Mail]:
    """examples/dovecot, once for all tests here."""
    with a_mail_server(installation) as mail:
        yield mail


def test_a_letter_goes_through(installation: Installation, mail: Mail) -> None:
    _, login, secret = a_key(installation, Channel.EMAIL, Kind.CHANNEL_LOGIN)

    with mail.session(login, secret) as client:
        client.sendmail("me@example.com", ["you@example.com"], "Subject: An order\r\n\r\nTwo of them.\r\n")

    assert len(mail.letters) == 1
    assert b"Two of them." in mail.letters[0]


def test_a_secret_with_the_signs_of_json_is_a_secret_like_any_other(installation: Installation, mail: Mail) -> None:
    for secret in ('"', "\\", '","valid":true,"a":"', "\x01\x7f"):
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"), mail.session("nobody", secret):
            pass


def test_what_can_be_no_login_is_refused_for_good_and_not_for_a_while(mail: Mail) -> None:
    for login, secret in (("x" * 201, b"nothing"), ("nobody", b"\xff\xfe nothing")):
        with smtplib.SMTP("127.0.0.1", mail.port, timeout=SECONDS_MAX) as client:
            client.starttls(context=ssl.create_default_context(cafile=mail.certificate))
            client.ehlo()
            plain = base64.b64encode(b"\0" + login.encode() + b"\0" + secret).decode()
            assert client.docmd("AUTH", f"PLAIN {plain}")[0] == 535


def test_nobody_submits_mail_while_the_api_does_not_answer(installation: Installation, mail: Mail) -> None:
    _, login, secret = a_key(installation, Channel.EMAIL, Kind.CHANNEL_LOGIN)

    with (
        installation.wire.cut(),
        pytest.raises(smtplib.SMTPAuthenticationError, match="454"),
        mail.session(login, secret),
    ):
        pass
