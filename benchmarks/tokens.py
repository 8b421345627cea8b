"""Access tokens over HTTP: issued for client credentials, and introspected; against Node's oidc-provider and Authlib.

Every server issues signed JWTs (ES256, the one algorithm that all three offer as they are) with the same two scopes for
the same number of clients, who sign in with Basic.
All keep their clients in memory: the peers as all there is, ours as verification does. With two processes, ours and
oidc-provider's issue side by side. oidc-provider introspects only tokens that are
references, so it is asked about those, and by one process, as its memory is of one process.
"""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from joserfc.jwk import ECKey
from uuid_utils.compat import uuid7

from api.signing import issue_signing_key
from api.wiring import Services, open_services
from benchmarks.given import context, organisation, verifier
from benchmarks.loading import (
    CONNECTIONS,
    THREADS,
    WORKERS,
    Target,
    drawing_script,
    in_turns,
    load,
    script,
    served,
    served_by_node,
)
from benchmarks.serving import environment_of
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.issuing import issue_credential
from ledger.settings import Settings
from ledger.values import SigningAlgorithm

CLIENTS = 100  # few enough to sit in every server's memory, as those of an installation would
SCOPE = "customer:view payment_route:view"
ISSUER = "http://127.0.0.1"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GRANT = f"grant_type=client_credentials&scope={urllib.parse.quote_plus(SCOPE)}"
SIGNED = f"{GRANT}&resource={urllib.parse.quote_plus(ISSUER)}"  # what makes oidc-provider sign
WARMING_SECONDS = 3.0


def measure(conninfo: str, settings: Settings, *, seconds: float = 5.0, rounds: int = 3) -> dict[str, Any]:
    """Requests a second of each (medians of the rounds) and their ratios."""
    with open_services(settings, conninfo) as services:
        key = issue_signing_key(services.keyring, context(), SigningAlgorithm.ES256, overlap=timedelta(0))
        services.ledger.handle(key)
        gateway = verifier(services)
        ours_signing_in = _clients(services, organisation(services))
    with TemporaryDirectory(prefix="keyledger-bench-") as scratch, ExitStack() as stack:
        directory = Path(scratch)
        peers = {"SETTINGS": str(directory / "peers.json")}
        signing_in = _peers_settings(directory / "peers.json")
        hello = stack.enter_context(served("benchmarks.peers.hello:app", {}))
        environment = environment_of(conninfo, settings)
        ours = stack.enter_context(served("api.wsgi:build", environment, factory=True))
        ours_twice = stack.enter_context(served("api.wsgi:build", environment, factory=True, workers=2))
        authlib = stack.enter_context(served("benchmarks.peers.authlib_alone:build", peers, factory=True))
        one = stack.enter_context(served_by_node("oidc_provider.mjs", {**peers, "PROCESSES": "1"}))
        two = stack.enter_context(served_by_node("oidc_provider.mjs", {**peers, "PROCESSES": "2"}))

        def issuing(name: str, port: int, path: str, body: str, users: Sequence[str]) -> Target:
            if _asked(port, path, f"Basic {users[0]}", body)["access_token"].count(".") != 2:
                raise SystemExit(f"{name} issues something else than a signed token")
            headers = {"Authorization": "Basic %s", **FORM}
            return Target(name, port, drawing_script(directory / f"{name}.lua", "POST", path, headers, body, users))

        def introspecting(name: str, port: int, path: str, sign_in: str, tokens: Sequence[str]) -> Target:
            if not _asked(port, path, sign_in, f"token={tokens[0]}")["active"]:
                raise SystemExit(f"{name} knows nothing of its own tokens")
            headers = {"Authorization": sign_in, **FORM}
            written = drawing_script(directory / f"{name}.lua", "POST", path, headers, "token=%s", tokens)
            return Target(name, port, written)

        asked_by = f"Basic {signing_in[0]}"
        targets = [
            Target("hello", hello, script(directory / "hello.lua", "GET", "/", {})),
            issuing("issue", ours, "/oauth2/token", GRANT, ours_signing_in),
            issuing("two_processes_issue", ours_twice, "/oauth2/token", GRANT, ours_signing_in),
            issuing("oidc_provider_issue", one, "/token", SIGNED, signing_in),
            issuing("oidc_provider_two_processes_issue", two, "/token", SIGNED, signing_in),
            issuing("authlib_issue", authlib, "/token", GRANT, signing_in),
            introspecting(
                "introspect",
                ours,
                "/oauth2/introspect",
                f"Bearer {gateway}",
                _tokens(ours, "/oauth2/token", ours_signing_in),
            ),
            introspecting(
                "oidc_provider_introspect", one, "/token/introspection", asked_by, _tokens(one, "/token", signing_in)
            ),
            introspecting(
                "authlib_introspect", authlib, "/introspect", asked_by, _tokens(authlib, "/token", signing_in)
            ),
        ]
        for target in targets:
            load(target, min(seconds, WARMING_SECONDS))
        medians = in_turns(targets, seconds, rounds)
    per_second = {name: found["per_second"] for name, found in medians.items()}
    pairs = [
        ("issue", "hello"),
        ("issue", "oidc_provider_issue"),
        ("two_processes_issue", "oidc_provider_two_processes_issue"),
        ("issue", "authlib_issue"),
        ("introspect", "hello"),
        ("introspect", "oidc_provider_introspect"),
        ("introspect", "authlib_introspect"),
    ]
    return {
        "workers": WORKERS,
        "threads": THREADS,
        "connections": CONNECTIONS,
        "clients": CLIENTS,
        "seconds": seconds,
        "rounds": rounds,
        "medians": medians,
        "ratios": {f"{work}/{peer}": per_second[work] / per_second[peer] for work, peer in pairs},
    }


def _clients(services: Services, tenant: UUID) -> Sequence[str]:
    """OAuth clients of ours, as Basic has them."""
    users = []
    for _ in range(CLIENTS):
        command, issued = issue_credential(
            services.keyring.digests,
            DEFAULT_CATALOGUE,
            context(),
            tenant,
            kind="oauth_client",
            mode="live",
            name="bench",
            contact_email="dev@example.com",
            scopes=SCOPE.split(),
        )
        services.ledger.handle(command)
        users.append(_basic(str(command.public_id), issued.plaintext))
    return users


def _peers_settings(path: Path) -> Sequence[str]:
    """Write down the peers' clients and their key; the clients, as Basic has them."""
    clients = [{"client_id": str(uuid7()), "client_secret": uuid7().hex * 2} for _ in range(CLIENTS)]
    key = ECKey.generate_key("P-256", {"kid": "bench", "use": "sig"})
    told = {"issuer": ISSUER, "scope": SCOPE, "clients": clients, "jwk": key.as_dict(private=True)}
    path.write_text(json.dumps(told))
    return [_basic(one["client_id"], one["client_secret"]) for one in clients]


def _tokens(port: int, path: str, users: Sequence[str]) -> Sequence[str]:
    """A token of each client."""
    return [str(_asked(port, path, f"Basic {user}", GRANT)["access_token"]) for user in users]


def _asked(port: int, path: str, sign_in: str, body: str) -> Any:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body.encode(), {"Authorization": sign_in, **FORM})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def _basic(user: str, secret: str) -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()
