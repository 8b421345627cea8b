"""What the acceptance tests drive: the real HTTP API and the real command line, both on one fresh ledger."""

from tests.api.conftest import administrator, app, client, organisation, projector, sign_in, verifier
from tests.cli.conftest import environment, keyledger

__all__ = [
    "administrator",
    "app",
    "client",
    "environment",
    "keyledger",
    "organisation",
    "projector",
    "sign_in",
    "verifier",
]
