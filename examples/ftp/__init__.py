"""An FTP server that asks Keyledger who may log in, and again before every command of a session.

So a credential that is revoked, suspended or restricted while somebody is logged in with it ends at the next command.
"""

import logging
from pathlib import Path
from typing import Any

from keyledger_verify import Unanswered, verify
from pyftpdlib.authorizers import AuthenticationFailed, DummyAuthorizer
from pyftpdlib.handlers import FTPHandler

# What each scope allows, in pyftpdlib's letters (https://pyftpdlib.readthedocs.io/en/latest/api.html#users). CHANGE to
# scopes of your catalogue.
PERMISSIONS = {"customer:view": "elr", "customer:edit": "adfmwMT"}

logger = logging.getLogger("keyledger.ftp")


class KeyledgerAuthorizer(DummyAuthorizer):  # type: ignore[misc]  # pyftpdlib carries no types
    """Knows nobody by itself. Each credential has a directory of its own under the root, named by its id, which stays
    when its login changes.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def validate_authentication(self, username: str, password: str, handler: FTPHandler) -> None:
        """Let a session in, or raise `AuthenticationFailed`. Remembers where its files are and what it may do there."""
        try:
            answer = verify(username, password, "ftp", handler.remote_ip)
        except Unanswered as error:
            logger.warning("%s", error)
            raise AuthenticationFailed("Nobody can log in now.") from error
        if not answer["valid"]:
            logger.info("refused %s: %s %s", handler.remote_ip, answer["code"], answer["credential_id"])
            raise AuthenticationFailed("Authentication failed.")
        home = self._root / answer["credential_id"]
        home.mkdir(mode=0o700, exist_ok=True)
        # One assignment, as every session has a thread of its own.
        self.user_table[username] = {
            "pwd": "",
            "home": str(home),
            "perm": "".join(letters for scope, letters in PERMISSIONS.items() if scope in answer["scopes"]),
            "operms": {},
            "msg_login": "Login successful.",
            "msg_quit": "Goodbye.",
        }


class KeyledgerHandler(FTPHandler):  # type: ignore[misc]  # pyftpdlib carries no types
    """One session."""

    # Seconds before somebody is told that a login failed. Its thread waits for nobody else.
    auth_failed_timeout = 1

    def pre_process_command(self, line: str, cmd: str, arg: str) -> Any:
        """Ask again, as what was good when the session began may have ended since."""
        if self.authenticated and cmd != "QUIT":
            try:
                self.authorizer.validate_authentication(self.username, self.password, self)
            except AuthenticationFailed:
                self.respond("421 Logged out: the credential is not good any more.")
                self.close_when_done()
                return None
        return super().pre_process_command(line, cmd, arg)
