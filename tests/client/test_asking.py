"""The client asks a running Keyledger: every verdict, revocation at once, threads, forks, and what it is made with."""

import asyncio
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.schemas.verification import QUESTIONS_MAX as SERVER_QUESTIONS_MAX
from api.schemas.verification import VerifyIn, VerifyOut
from keyledger_client import (
    QUESTIONS_MAX,
    AsyncClient,
    Client,
    InvalidQuestion,
    Question,
    TokenRefused,
    Verification,
)
from ledger.commands import RevokeCredential, SuspendCredential
from ledger.values import Channel, Kind, Login, Mode, Role, Scope
from ledger.verification import Code
from tests import given
from tests.client.asking import PATIENT, Ask, by_task, by_thread, many_by_task, many_by_thread
from tests.running.doors import Installation, soon

both = pytest.mark.parametrize("ask", [by_thread, by_task])
both_many = pytest.mark.parametrize("ask", [many_by_thread, many_by_task])

AskMany = Callable[[str, str, list[Question]], list[Verification]]

VIEW = Scope("customer:view")


@both
def test_a_good_key_is_true_and_names_its_credential(installation: Installation, ask: Ask) -> None:
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    credential, secret = installation.key(scopes=(VIEW,), expires_at=expires_at)

    verification = ask(installation.url, installation.token, secret=secret, asked={"mode": "live", "scopes": [VIEW]})

    assert verification
    assert verification.valid
    assert verification.credential_is_good
    assert verification.code == Code.VALID
    assert verification.credential_id == credential
    assert verification.organisation_id == installation.organisation
    assert (verification.kind, verification.mode) == (Kind.API_KEY, Mode.LIVE)
    assert verification.scopes == (VIEW,)
    assert verification.expires_at == expires_at
    assert verification.request_id


@both
@pytest.mark.parametrize(
    ("asked", "code", "good"),
    [
        ({"mode": "test"}, Code.WRONG_MODE, True),
        ({"scopes": ["customer:delete"]}, Code.INSUFFICIENT_SCOPE, True),
        ({"api": "no-such-api"}, Code.API_NOT_CONNECTED, True),
        ({"public_id": "somebody-else"}, Code.NOT_FOUND, False),
    ],
)
def test_a_refusal_is_false_and_says_why(
    installation: Installation, ask: Ask, asked: dict[str, Any], code: Code, good: bool
) -> None:
    _, secret = installation.key(scopes=(VIEW,))

    verification = ask(installation.url, installation.token, secret=secret, asked=asked)

    assert not verification
    assert verification.code == code
    assert verification.credential_is_good is good


@both
def test_a_channel_login_goes_with_its_login_and_channel(installation: Installation, ask: Ask) -> None:
    login = Login(f"files-{ask.__name__}")
    _, secret = installation.key(kind=Kind.CHANNEL_LOGIN, channel=Channel.FTP, login=login)
    asked = {"public_id": login, "channel": "ftp", "client_ip": "2001:db8::7"}

    assert ask(installation.url, installation.token, secret=secret, asked=asked)
    assert not ask(installation.url, installation.token, secret=secret, asked=asked | {"channel": "email"})
    assert not ask(installation.url, installation.token, secret=secret, asked=asked | {"public_id": "somebody-else"})


@pytest.mark.parametrize("command", [RevokeCredential, SuspendCredential])
def test_a_credential_that_is_revoked_is_refused_by_a_client_that_just_let_it_in(
    installation: Installation, command: Any
) -> None:
    credential, secret = installation.key()
    with Client(installation.url, installation.token, **PATIENT) as client:
        assert client.verify(secret)

        installation.handle(command, credential)

        assert soon(lambda: not client.verify(secret))


@both_many
def test_verdicts_of_a_batch_come_in_the_order_of_the_questions(installation: Installation, ask: AskMany) -> None:
    keys = [installation.key() for _ in range(3)]
    questions = [Question(secret=secret) for _, secret in keys]
    questions.insert(1, Question(secret="kl_api_key_live_mistyped"))
    questions.append(Question(secret=keys[0][1], mode="test"))

    verdicts = ask(installation.url, installation.token, questions)

    assert [verdict.code for verdict in verdicts] == ["VALID", "MALFORMED", "VALID", "VALID", "WRONG_MODE"]
    assert [v.credential_id for v in verdicts if v] == [credential for credential, _ in keys]


@both_many
def test_a_batch_has_a_hundred_questions_at_most_and_none_is_not_asked(
    installation: Installation, ask: AskMany
) -> None:
    _, secret = installation.key()

    assert QUESTIONS_MAX == SERVER_QUESTIONS_MAX
    assert all(ask(installation.url, installation.token, [Question(secret=secret)] * QUESTIONS_MAX))
    with pytest.raises(ValueError, match="100 questions at most"):
        ask(installation.url, installation.token, [Question(secret=secret)] * (QUESTIONS_MAX + 1))
    assert ask("http://127.0.0.1:1", "nobody-is-asked", []) == []


@both
@pytest.mark.parametrize(
    ("asked", "field", "code"),
    [
        ({"client_ip": "192.0.2.0/24"}, "client_ip", "invalid_address"),
        ({"mode": "production"}, "mode", "invalid_choice"),
        ({"scopes": [7]}, "scopes.0", "wrong_type"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(
    installation: Installation, ask: Ask, asked: dict[str, Any], field: str, code: str
) -> None:
    _, secret = installation.key()

    with pytest.raises(InvalidQuestion) as raised:
        ask(installation.url, installation.token, secret=secret, asked=asked)

    assert [(error.field, error.code) for error in raised.value.errors] == [(field, code)]
    assert raised.value.request_id
    assert secret not in str(raised.value)


@both_many
def test_of_a_batch_the_question_is_named_too(installation: Installation, ask: AskMany) -> None:
    _, secret = installation.key()

    with pytest.raises(InvalidQuestion) as raised:
        ask(installation.url, installation.token, [Question(secret=secret), Question(secret=secret, client_ip="here")])

    assert raised.value.errors[0].field == "questions.1.client_ip"


@both
def test_a_token_that_is_not_good_or_not_of_a_verifier_is_told_from_a_refused_client(
    installation: Installation, ask: Ask
) -> None:
    _, secret = installation.key()
    _, auditor = given.an_operator(installation.services, Role.AUDITOR, organisation_id=installation.organisation)

    with pytest.raises(TokenRefused) as unknown:
        ask(installation.url, "kl_operator_live_nobody", secret=secret)
    with pytest.raises(TokenRefused) as other:
        ask(installation.url, auditor, secret=secret)

    assert (unknown.value.code, other.value.code) == ("unauthorised", "forbidden")


@both
@pytest.mark.parametrize("secret", ["", "\x00", "\ud800", "é" * 400, "x" * 1025, "a\r\nX-Injected: 1"])
def test_any_secret_gets_a_refusal_or_an_error_of_the_client(installation: Installation, ask: Ask, secret: str) -> None:
    with suppress(InvalidQuestion):
        assert not ask(installation.url, installation.token, secret=secret)


def test_one_client_serves_many_threads_each_with_its_own_verdict(installation: Installation) -> None:
    keys = [installation.key() for _ in range(8)]

    with Client(installation.url, installation.token, **PATIENT) as client, ThreadPoolExecutor(8) as threads:
        asked = [keys[number % 8] for number in range(200)]
        verdicts = list(threads.map(lambda key: client.verify(key[1]), asked))

    assert [verdict.credential_id for verdict in verdicts] == [credential for credential, _ in asked]


def test_one_client_serves_many_tasks_each_with_its_own_verdict(installation: Installation) -> None:
    keys = [installation.key() for _ in range(8)]
    asked = [keys[number % 8] for number in range(200)]

    async def run() -> list[Verification]:
        async with AsyncClient(installation.url, installation.token, **PATIENT) as client:
            return await asyncio.gather(*(client.verify(secret) for _, secret in asked))

    assert [verdict.credential_id for verdict in asyncio.run(run())] == [credential for credential, _ in asked]


def test_a_task_that_was_cancelled_leaves_no_answer_for_the_next_one(installation: Installation) -> None:
    credential, secret = installation.key()
    _, other = installation.key()

    async def run() -> list[Verification]:
        async with AsyncClient(installation.url, installation.token, **PATIENT) as client:
            verdicts = []
            for number in range(40):
                given_up = asyncio.create_task(client.verify(other))
                await asyncio.sleep(number * 0.0001)
                given_up.cancel()
                verdicts.append(await client.verify(secret))
            return verdicts

    assert {verdict.credential_id for verdict in asyncio.run(run())} == {credential}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 on: the tests have threads
def test_a_client_that_was_made_before_a_fork_serves_both_processes(installation: Installation) -> None:
    keys = [installation.key() for _ in range(2)]
    fork = multiprocessing.get_context("fork")

    with Client(installation.url, installation.token, **PATIENT) as client:
        assert client.verify(keys[0][1])  # so that there is a connection that both would use

        def ask_often(key: tuple[Any, str]) -> bool:
            return all(client.verify(key[1]).credential_id == key[0] for _ in range(50))

        def in_the_child(told: Any) -> None:
            told.put(ask_often(keys[1]))

        told = fork.SimpleQueue()
        child = fork.Process(target=in_the_child, args=(told,))
        child.start()
        assert ask_often(keys[0])
        assert told.get()
        child.join(10)

    assert child.exitcode == 0


# --- What they are made with and give --------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"url": "keyledger.example.com"}, "http"),
        ({"url": "ftp://keyledger.example.com"}, "http"),
        ({"url": "https://"}, "a host"),
        ({"url": "https://keyledger.example.com:99999"}, "range"),
        ({"url": "https://keyledger.example.com:x"}, "x"),
        ({"url": "https://keyledger.example.com:0"}, "host"),
        ({"url": "https://user:password@keyledger.example.com"}, "no user"),
        ({"url": "https://keyledger.example.com?a=b"}, "no user, query"),
        ({"token": ""}, "token"),
        ({"token": "with\nnewline"}, "token"),
        ({"token": "with space"}, "token"),
        ({"token": "ünïcode"}, "token"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"retries": -1}, "retries"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_a_client_is_made(made: Any, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        made(**{"url": "https://keyledger.example.com", "token": "t", **wrong})

    if wrong.get("token"):
        assert wrong["token"] not in str(raised.value)


def test_nothing_shows_a_secret_or_a_token() -> None:
    question = Question(secret="hush", public_id="seen")

    assert repr(question).startswith("Question(public_id='seen'")
    assert "hush" not in repr(question)
    for made in (Client, AsyncClient):
        assert "token" not in repr(made("http://127.0.0.1", "token"))
        assert "token" not in str(vars(made("http://127.0.0.1", "token")))


def test_scopes_are_no_single_text() -> None:
    with pytest.raises(TypeError, match="sequence"):
        Question(secret="s", scopes="customer:view")


def test_a_verdict_cannot_be_changed_and_is_told_in_full() -> None:
    assert {field.name for field in fields(Verification)} == set(VerifyOut().fields)
    assert {field.name for field in fields(Question)} == set(VerifyIn().fields)
    verification = Verification(valid=False, code="REVOKED", **dict.fromkeys(_UNTOLD, None), scopes=(), request_id="r")
    with pytest.raises(FrozenInstanceError):
        verification.valid = True  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(verification)) == verification  # noqa: S301 - our own bytes


_UNTOLD = (
    "credential_id",
    "organisation_id",
    "application_id",
    "kind",
    "public_id",
    "mode",
    "environment",
    "channel",
    "expires_at",
)
