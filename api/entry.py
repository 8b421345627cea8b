"""The `keyledger` command. The offline verifier begins here, before anything that needs a database is imported."""

import sys

INTERRUPTED = 130  # as shells tell of what Ctrl-C ended


def main() -> None:
    """Run the command that the arguments name."""
    try:
        if sys.argv[1:3] == ["audit", "verify"]:
            from ledger.auditing import main as verify

            sys.exit(verify(sys.argv[3:], prog="keyledger audit verify"))
        from api.cli import main as command_line

        command_line()
    except KeyboardInterrupt:  # while all that was still being imported
        sys.stderr.write("error: interrupted\n")
        sys.exit(INTERRUPTED)
