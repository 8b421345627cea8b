"""`python -m ftp --help`, in the directory above this one."""

import argparse
import logging
from pathlib import Path

from pyftpdlib.servers import ThreadedFTPServer

from ftp import KeyledgerAuthorizer, KeyledgerHandler

# A session is a thread and two connections.
CONNECTIONS_MAX = 256
CONNECTIONS_OF_AN_ADDRESS_MAX = 16


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m ftp", description="An FTP server that asks Keyledger.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2121)
    parser.add_argument("--root", type=Path, required=True, help="where each credential has its directory")
    asked = parser.parse_args()
    if not asked.root.is_dir():
        parser.error(f"{asked.root} is not a directory")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")

    KeyledgerHandler.authorizer = KeyledgerAuthorizer(asked.root.resolve())
    server = ThreadedFTPServer((asked.host, asked.port), KeyledgerHandler)
    server.max_cons, server.max_cons_per_ip = CONNECTIONS_MAX, CONNECTIONS_OF_AN_ADDRESS_MAX
    server.serve_forever()


if __name__ == "__main__":
    main()
