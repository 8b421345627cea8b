"""Forms: what was typed, read by the API's own schemas, and what is wrong with it, to be shown beside its field."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from flask import Response, request
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict

from api.auth import caller
from api.commanding import AT_LEAST_SECONDS_MAX, CarriedOut, Commands, carry_out_once, one
from api.console.rendering import render
from api.console.sessions import CSRF_FIELD, form_is_of_this_session
from api.credentials import represent
from api.incoming import services
from api.problems import failed_fields, status_of
from ledger.commands import Command
from ledger.errors import InvalidValue, LedgerError, NotFound, StaleVersion
from ledger.store.idempotency import forget_answer
from projections.credential_list import VIEW
from projections.pages import Page
from projections.runner import wait_for

Choice = TypeVar("Choice", bound=StrEnum)

KEY_FIELD = "idempotency_key"
VERSION_FIELD = "version"
CONFIRMATION_FIELD = "confirmation"
# What no page gives back to whoever typed it: a chosen password.
SECRET_FIELDS = frozenset({"secret"})
KEPT_FIELDS_MAX = 600  # of one form: a hundred more than all permissions that a credential can have
OF_ANOTHER_SESSION = "You signed in anew since this page was opened. Look at what you typed, and send it again."
_DIGITS_MAX = 9  # of a number of seconds, which is thirty years
_KEY = re.compile(r"[0-9a-f-]{36}")  # as `fresh_key` makes them

# marshmallow's words are for programs; these are for whoever filled in a form.
_KINDLY: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"Missing data for required field\.|Shorter than minimum length 1\.", "Fill this in."),
        (r"Longer than maximum length (\d+)\.|Length must be between 1 and (\d+)\.", r"Type \1\2 characters at most."),
        (r"Must be one of: .*", "Choose one of these."),
        (r"Not a valid (?:aware )?datetime\.", "Choose a date and a time."),
        (r"Not a valid UUID\.", "Type an id as it is shown here, such as 01976b3c-9d1a-7c3e-8f00-2b4e5a6c7d8e."),
        (r"Not a valid integer\.", "Type a whole number."),
    )
)


def _kindly(reason: str) -> str:
    """marshmallow's reason as people would say it."""
    for pattern, words in _KINDLY:
        if found := pattern.fullmatch(reason):
            return found.expand(words)
    return reason


@dataclass
class Form:
    """What was typed, as it came, and what is wrong with it by field; under the empty name what concerns it all."""

    typed: MultiDict[str, str] = field(default_factory=MultiDict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    _line_numbers: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def with_typed(cls, **values: object) -> "Form":
        """A form as it is offered, with these choices made."""
        return cls(MultiDict({name: str(value) for name, value in values.items()}))

    def number(self, name: str) -> int:
        """A whole number that was chosen; `InvalidValue` for what is none."""
        typed = self.typed.get(name, "")
        if not typed.isascii() or not typed.isdecimal() or len(typed) > _DIGITS_MAX:
            raise _not_offered(name)
        return int(typed)

    def choice(self, name: str, offered: Collection[str]) -> str:
        """One of a few words that was chosen; `InvalidValue` for another."""
        typed = self.typed.get(name, "")
        if typed not in offered:
            raise _not_offered(name)
        return typed

    def load(self, schema: Schema, names: Sequence[str], **more: Any) -> dict[str, Any]:
        """These fields as the schema reads them, and what else it is to be given. A field left empty is left out.

        Raises `ValidationError`.
        """
        given = {name: self.typed[name] for name in names if self.typed.get(name, "").strip()}
        found: dict[str, Any] = schema.load(given | more)
        return found

    def lines(self, name: str, parse: Callable[[str], object] = str) -> list[str]:
        """The lines of a field without the empty ones, each of which can be parsed.

        Raises `ValidationError` of all that cannot. What is wrong with a line is told with its number as typed.
        """
        numbered = {n: line.strip() for n, line in enumerate(self.typed.get(name, "").splitlines(), 1) if line.strip()}
        self._line_numbers[name] = list(numbered)
        wrong = {}
        for place, line in enumerate(numbered.values()):
            try:
                parse(line)
            except InvalidValue as error:
                wrong[place] = [error.reason]
        if wrong:
            raise ValidationError({name: wrong})
        return list(numbered.values())

    def key(self) -> str:
        """What tells this form from every other one, also where it is sent twice; `InvalidValue` for none of ours."""
        key = self.typed.get(KEY_FIELD, "")
        if not _KEY.fullmatch(key):
            raise InvalidValue(KEY_FIELD, "is not one of this console's forms: reload the page")
        return key

    def version(self, current: int) -> int:
        """The version that the form was made of; `StaleVersion` where the thing was changed since."""
        typed = self.typed.get(VERSION_FIELD, "")
        if typed != str(current):
            raise StaleVersion(int(typed) if typed.isdecimal() else 0, current)
        return current

    def confirm(self, expected: str) -> None:
        """Raises `InvalidValue` unless whoever sends this typed what they were asked to type."""
        if self.typed.get(CONFIRMATION_FIELD, "").strip() != expected:
            raise InvalidValue(CONFIRMATION_FIELD, f"type {expected} to confirm")

    def refuse(self, error: LedgerError | ValidationError) -> int:
        """Note what is wrong; the status to answer with."""
        if isinstance(error, ValidationError):
            for failed in failed_fields(error.messages):
                self._note_at(failed["field"], _kindly(failed["reason"]))
            return 422
        if isinstance(error, InvalidValue):
            self._note_at(error.field, error.reason)
        elif isinstance(error, StaleVersion):
            self._note("", "Somebody changed this since you opened it. Open it anew, and decide by what it is now.")
        else:
            self._note("", _sentence(str(error)))
        return status_of(error)

    def _note_at(self, path: str, reason: str) -> None:
        name, _, place = path.partition(".")  # what is wrong in a list is named with the place in it
        numbers = self._line_numbers.get(name)
        where = f"line {numbers[int(place)]} " if numbers and place.isdecimal() else ""
        self._note(name, _sentence(where + reason))

    def _note(self, name: str, reason: str) -> None:
        self.errors.setdefault(name, []).append(reason)


def _not_offered(name: str) -> InvalidValue:
    return InvalidValue(name, "choose one of these", "invalid_choice")


def listed(read: Callable[[dict[str, str]], Page]) -> tuple[Form, Page, int]:
    """A list as the address asks for it: what was asked, to be shown again with what is wrong with it, the page that
    `read` makes of it, and the status to answer with.
    """
    form = Form(request.args)
    try:
        return form, read(asked()), 200
    except (InvalidValue, ValidationError) as error:
        return form, Page([], None), form.refuse(error)


def asked() -> dict[str, str]:
    """What the address asks, as the API takes it: without what is empty, and what is about the page alone."""
    given = {name: value.strip() for name, value in request.args.items() if value.strip() and name != "done"}
    if "as_of" in given:
        given["as_of"] = in_utc(given["as_of"])
    return given


def filtered() -> bool:
    """Whether the address asks for a part of a list, so that an empty one says nothing of the whole."""
    return bool(asked().keys() - {"cursor"})


def attempt(show: Callable[[Form], str], act: Callable[[Form], Response]) -> Response:
    """Do what a form asks. Where that is refused, the form is shown again with all that was typed and what is wrong.

    What is not there is no matter of what was typed, and is answered with a page of its own. So is a form that somebody
    may not have at all, which its page refuses before it comes here. A form of another session is shown again and does
    nothing: it may be what somebody typed before theirs ended, or what another site made up.
    """
    form = Form(MultiDict(request.form))  # a copy, to which a step of several can add what comes next
    if not form_is_of_this_session():
        form.errors[""] = [OF_ANOTHER_SESSION]
        return Response(show(form), 403)
    try:
        return act(form)
    except NotFound:
        raise
    except (LedgerError, ValidationError) as error:
        status = form.refuse(error)
        return Response(show(form), status)


def is_shown_again() -> bool:
    """Whether the page that a form was sent to is the page that shows it, so that it ends in `attempt`."""
    return request.method == "POST" and request.url_rule is not None and "GET" in (request.url_rule.methods or ())


def kept() -> list[tuple[str, str]] | None:
    """What was typed into such a form, for a page from which it can be sent once more; None where that cannot be."""
    fields = [(name, value) for name, value in request.form.items(multi=True) if name not in SECRET_FIELDS]
    return fields if is_shown_again() and 0 < len(fields) <= KEPT_FIELDS_MAX else None


def carry_out(
    form: Form,
    make: Callable[[], tuple[Command, str | None]],
    represent: Callable[[Any], dict[str, Any]] = represent,
) -> CarriedOut:
    """Handle a command, on a credential unless `represent` is another thing's. See `carry_out_all`."""
    return carry_out_all(form, one(make, represent))


def carry_out_all(form: Form, make: Callable[[], Commands]) -> CarriedOut:
    """Handle commands in one commit; a form that is sent twice does it once, and both are answered alike.

    Afterwards the list of credentials knows of it, so that whoever goes back there finds what they did.
    """
    key = form.key()
    asked = sorted((name, value) for name, value in form.typed.items(multi=True) if name != CSRF_FIELD)
    fingerprint = hashlib.sha256(repr((request.path, asked)).encode()).digest()
    carried = carry_out_once((key, fingerprint), make)
    wait_for(services().store, VIEW.name, carried.position, AT_LEAST_SECONDS_MAX)
    return carried


def show_secret(carried: CarriedOut, form: Form, **values: Any) -> Response:
    """The page that shows a new secret, this once.

    It speaks of a credential. For another thing `made` is what is shown, `heading` and `words` say what it is called,
    and `stored` is where to say that it is stored.
    """
    key = form.typed[KEY_FIELD]
    return Response(render("console/secret.html", **{"made": carried.body, "idempotency_key": key, **values}))


def forget_secret(form: Form) -> None:
    """Whoever saw the new secret has stored it: nothing shows it any more, not even to the same form sent again."""
    forget_answer(services().log, caller().actor, form.typed.get(KEY_FIELD, ""))


def chosen(options: type[Choice], name: str, default: Choice) -> Choice:
    """Which of a few words the address names. Raises `InvalidValue` for another one."""
    word = request.args.get(name, default)
    if word not in list(options):
        raise _not_offered(name)
    return options(word)


def in_utc(moment: str) -> str:
    """A moment as the API takes it: what a browser's field for a date and time gives has no zone, and means UTC."""
    return moment if not moment[-1:].isdigit() or "+" in moment else moment + "Z"


def of_days(asked: Mapping[str, str], begin: str, end: str) -> dict[str, str]:
    """The same with two days as the moments that the API takes: the first from its beginning in UTC, the last to its
    end. What is no day is left for its schema to refuse.
    """
    moments = dict(asked)
    for name, days in ((begin, 0), (end, 1)):
        if name in asked:
            with suppress(ValueError, OverflowError):
                moments[name] = f"{date.fromisoformat(asked[name]) + timedelta(days=days)}T00:00:00Z"
    return moments


# How the ledger's reasons go on after the name of their field, which stands above them in a form.
_PREDICATES = ("is ", "are ", "must ", "holds ", "hold ", "names ", "name ", "lies ", "begins ", "has ")


def _sentence(text: str) -> str:
    text = f"It {text}" if text.startswith(_PREDICATES) else text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."
