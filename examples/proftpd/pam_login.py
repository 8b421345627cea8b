"""What pam_exec runs for a login: `pam_login.py CHANNEL`, with the password on stdin, succeeds for whoever may come in.

Beside it lies `keyledger_verify.py`, which says what the environment must hold.
"""

import os
import sys

from keyledger_verify import Unanswered, verify


def main() -> None:
    """Exit with 0 for a good login, and with 1 for every other one."""
    # pam_exec ends the password with a zero, and gives none where there is no password (pam_exec(8), expose_authtok).
    password = sys.stdin.buffer.read().rstrip(b"\0").decode(errors="replace")
    try:
        answer = verify(os.environ["PAM_USER"], password, sys.argv[1], os.environ.get("PAM_RHOST", ""))
    except Unanswered as error:
        sys.exit(str(error))
    sys.exit(0 if answer["valid"] else 1)


if __name__ == "__main__":
    main()
