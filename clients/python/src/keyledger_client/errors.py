"""Why there is no verdict. Whoever cannot tell what to do refuses the caller: all of these mean that nobody said yes.

    KeyledgerError
    ├── Unavailable         cannot be reached, or cannot answer now
    │   └── DeadlineExceeded    did not answer within the call's timeout
    ├── UnexpectedAnswer    answered something else than a verdict: most likely the URL is not that of Keyledger
    ├── TokenRefused        the gateway's own token is not good, or not one of a verifier
    ├── TooManyAttempts     too many wrong secrets came from this address or for this public id
    └── InvalidQuestion     a value cannot be meant, such as a network where an address belongs

None of them holds what was asked: neither the secret nor the token is in a message.
"""

from dataclasses import dataclass


class KeyledgerError(Exception):
    """There is no verdict.

    `code` is that of the problem that Keyledger answered (its `/problems/<code>` says what it means), and `request_id`
    finds its log line; both are None where it did not answer. `retry_after_seconds` is what it asked to wait for.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class Unavailable(KeyledgerError):
    """Keyledger cannot be reached or cannot answer now, also when it was asked again."""


class DeadlineExceeded(Unavailable):
    """Keyledger did not answer within the timeout of the call."""


class UnexpectedAnswer(KeyledgerError):
    """What answered is no verdict and no refusal of Keyledger's."""


class TokenRefused(KeyledgerError):
    """The gateway's own token is not good (`unauthorised`), or not that of a verifier (`forbidden`)."""


class TooManyAttempts(KeyledgerError):
    """Too many secrets that are not good came from this address or for this public id.

    Keyledger looks at the next one after `retry_after_seconds`. The client does not wait for it: whoever guesses would
    keep your threads busy.
    """


@dataclass(frozen=True, slots=True)
class FieldError:
    """One value that cannot be meant: `questions.3.client_ip` is that of the fourth question of a batch."""

    field: str
    code: str
    reason: str


class InvalidQuestion(KeyledgerError):
    """Keyledger does not take what was asked; `errors` says which values and why. Asking again will not help."""

    def __init__(
        self,
        message: str,
        *,
        errors: tuple[FieldError, ...] = (),
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, code=code, request_id=request_id)
        self.errors = errors
