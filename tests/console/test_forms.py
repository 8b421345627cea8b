"""What holds for every form of the console: what is wrong is told beside its field, what was typed is kept, and what is
sent twice is done once.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import urljoin
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from api.console.forms import SECRET_FIELDS
from api.wiring import Services
from tests import given
from tests.console.conftest import Reader
from tests.console.filling import FORMS, Fields, Sample, things

VALUELESS = {"production", "personal"}  # each is there or is not
PRESETS = {"preset", "scopes"}  # the one follows the other

pytestmark = pytest.mark.usefixtures("projector")


@dataclass(frozen=True)
class Desk:
    """Somebody with a browser without JavaScript, and all that forms can be about."""

    reader: Reader
    services: Services
    root: str
    ids: dict[str, UUID]

    def path(self, sample: Sample) -> str:
        """Where the form is."""
        return urljoin(f"{self.root}/", sample.path.format(**self.ids))

    def come_to(self, sample: Sample) -> Fields:
        """The form, with all that goes before it done."""
        if sample.before:
            before = FORMS[sample.before]
            assert self.send(before, self.come_to(before).filled(before)).status_code in (200, 303), sample.before
        fields = self.shown(self.reader.read(self.path(sample)))
        for _ in range(sample.steps - 1):
            fields = self.shown(self.send(sample, fields.filled(sample)))
        return fields

    def send(self, sample: Sample, typed: MultiDict[str, str]) -> TestResponse:
        """The answer to the form."""
        return self.reader.send(self.path(sample), typed)

    def shown(self, answer: TestResponse) -> Fields:
        """The form on a page."""
        assert answer.status_code == 200, answer.text
        fields = Fields(answer.text)
        assert fields.controls, answer.text
        return fields

    def commits(self) -> int:
        """How often something was recorded by a form."""
        return len(self.services.store.rows("SELECT 1 FROM ledger_idempotency"))


@pytest.fixture
def desk(services: Services, administrator: Reader, organisation: UUID) -> Desk:
    """An administrator's."""
    root = f"/console/organisations/{organisation}"
    return Desk(administrator, services, root, things(services, organisation))


def test_every_form_that_records_something_is_among_them(app: Flask, desk: Desk) -> None:
    urls = app.url_map.bind("localhost")
    listed = {urls.match(desk.path(sample), "POST")[0] for sample in FORMS.values()}
    there = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("console.") and {"GET", "POST"} <= (rule.methods or set())
    }
    assert there == listed


@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_is_sent_twice_is_carried_out_once_and_answered_alike(desk: Desk, name: str) -> None:
    sample = FORMS[name]
    typed, before = desk.come_to(sample).filled(sample), desk.commits()

    first = desk.send(sample, typed)
    head = desk.services.log.head()
    second = desk.send(sample, typed)

    assert first.status_code in (200, 303), first.text
    assert (second.status_code, second.headers.get("Location")) == (first.status_code, first.headers.get("Location"))
    assert copied(second) == copied(first)
    assert desk.services.log.head() == head
    assert desk.commits() == before + 1


def copied(answer: TestResponse) -> list[str]:
    """What the page gives to copy."""
    return re.findall(r"<output[^>]*>([^<]+)</output>", answer.text)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_wrong_is_told_beside_its_field_and_all_that_was_typed_is_kept(desk: Desk, name: str) -> None:
    sample = FORMS[name]
    fields = desk.come_to(sample)
    head = desk.services.log.head()
    for wrong, control in {control.name: control for control in fields.controls}.items():
        if control.kind == "hidden" or wrong in VALUELESS:
            continue
        typed = fields.filled(sample)
        typed[wrong] = "much too long for it " * 500

        answer = desk.send(sample, typed)

        assert answer.status_code == 422, (wrong, answer.text)
        assert f'id="{wrong}-error"' in answer.text, wrong
        again = Fields(answer.text)
        kept = again.sent()
        if control in fields.texts():
            assert re.search(rf'name="{wrong}"[^>]*aria-describedby="{wrong}-error', answer.text), wrong
            assert re.search(rf'name="{wrong}"[^>]*aria-invalid="true" autofocus', answer.text), wrong
        for other in fields.controls:
            shown = other.kind not in ("hidden", "password") and {wrong, other.name} != PRESETS
            if shown and (other.name != wrong or other in fields.texts()):
                assert kept.getlist(other.name) == typed.getlist(other.name), (wrong, other.name)
    assert desk.services.log.head() == head


@pytest.mark.parametrize(
    "name", ["create credentials", "create a successor", "add API key", "create channel key", "generate key"]
)
def test_a_credential_is_given_its_end_where_it_is_created(desk: Desk, name: str) -> None:
    sample = FORMS[name]
    typed = desk.come_to(sample).filled(sample)
    for wrong, told in (("2020-01-31T12:00", "It lies in the past."), ("soon", "Choose a date and a time.")):
        typed["expires_at"] = wrong
        refused = desk.send(sample, typed)
        assert (refused.status_code, 'id="expires_at-error"' in refused.text, told in refused.text) == (422, True, True)
    comes = (datetime.now(UTC) + timedelta(days=30)).replace(second=0, microsecond=0)
    typed["expires_at"] = f"{comes:%Y-%m-%dT%H:%M}"
    assert desk.send(sample, typed).status_code == 200
    [ends] = desk.services.store.rows("SELECT expires_at FROM credential_status WHERE expires_at IS NOT NULL")
    assert ends["expires_at"] == comes


def test_a_form_that_was_refused_is_the_same_form_again_and_overwrites_nothing(desk: Desk) -> None:
    sample = FORMS["describe credential"]
    fields = desk.come_to(sample)
    mine, theirs = fields.filled(sample), fields.filled(sample)
    theirs["idempotency_key"], theirs["name"] = "6b4c1a86-35c7-4f1e-9c3e-0c4f0a5c3d11", "Theirs"
    mine["name"] = "much too long for it " * 50
    assert desk.send(sample, theirs).status_code == 303

    refused = desk.send(sample, mine)
    again = Fields(refused.text).sent()
    again["name"] = "Mine"
    outdated = desk.send(sample, again)

    assert refused.status_code == 422
    assert (again["version"], again["idempotency_key"]) == (mine["version"], mine["idempotency_key"])
    assert (outdated.status_code, "changed this since" in outdated.text) == (412, True)
    assert desk.send(sample, Fields(outdated.text).sent()).status_code == 412  # by being sent once more neither
    assert "Theirs" in desk.reader.read(desk.path(sample).removesuffix("/edit")).text


# --- without a script -------------------------------------------------------------------------------------------------


def kept(page: TestResponse) -> MultiDict[str, str]:
    """What a page holds that was typed into another one's form."""
    form = page.text[page.text.index('<form method="post"') : page.text.index("</form>")]
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    return MultiDict((unescape(name), unescape(value)) for name, value in found)


def sign_in_anew(desk: Desk) -> None:
    """Another session of another administrator at the same browser."""
    desk.reader.sign_in(given.an_operator(desk.services)[1])


@pytest.mark.parametrize("name", FORMS)
def test_what_was_typed_outlives_the_session_and_is_shown_again_before_anything_is_done(desk: Desk, name: str) -> None:
    sample = FORMS[name]
    typed, before = desk.come_to(sample).filled(sample), desk.commits()
    desk.services.store.rows("DELETE FROM console_session RETURNING 1")

    ended = desk.send(sample, typed)
    still = desk.send(sample, kept(ended))
    sign_in_anew(desk)
    shown = desk.send(sample, kept(still))

    assert (ended.status_code, still.status_code) == (401, 401)
    assert "Your session has ended" in ended.text
    assert 'target="_blank" rel="noopener">Sign in in another tab' in ended.text
    secrets = {name: value for name, value in typed.items(multi=True) if name in SECRET_FIELDS}
    assert sorted(kept(ended).items(multi=True)) == sorted(
        (name, value) for name, value in typed.items(multi=True) if name not in secrets
    )
    assert not any(value in page.text for value in secrets.values() for page in (ended, still, shown))
    assert (shown.status_code, "You signed in anew" in shown.text) == (403, True)
    assert desk.commits() == before
    again = Fields(shown.text)
    for control in again.texts():
        if control.name in typed and control.name not in secrets:
            assert again.sent().getlist(control.name) == typed.getlist(control.name), control.name
    if sample.steps == 1:  # of several the dry run begins anew
        complete = again.sent()
        for secret, value in secrets.items():
            complete[secret] = value
        assert desk.send(sample, complete).status_code in (200, 303)
        assert desk.commits() == before + 1


def test_no_page_gives_back_what_is_typed_unseen(desk: Desk) -> None:
    unseen = {
        control.name
        for sample in FORMS.values()
        for control in desk.come_to(sample).controls
        if control.kind == "password"
    }
    assert unseen == SECRET_FIELDS


@contextmanager
def broken(services: Services) -> Iterator[None]:
    """The database misses what every page needs."""
    with services.store.cursor_of_tuples() as curs:
        curs.execute("ALTER TABLE console_session RENAME TO gone")
        yield
        curs.execute("ALTER TABLE gone RENAME TO console_session")


def test_what_was_typed_outlives_a_fault_of_ours_and_is_done_once(desk: Desk) -> None:
    sample = FORMS["create credentials"]
    typed, before = desk.come_to(sample).filled(sample), desk.commits()

    with broken(desk.services):
        failed = desk.send(sample, typed)
    assert (failed.status_code, "Try again" in failed.text) == (500, True)
    first, second = desk.send(sample, kept(failed)), desk.send(sample, typed)

    assert (first.status_code, copied(first)) == (200, copied(second))
    assert desk.commits() == before + 1


@pytest.mark.parametrize("fields", [0, 601])
def test_only_what_could_be_a_form_of_ours_is_kept(desk: Desk, fields: int) -> None:
    desk.services.store.rows("DELETE FROM console_session RETURNING 1")
    typed = MultiDict(("scopes", "<b>") for _ in range(fields))
    answer = desk.send(FORMS["create credentials"], typed)
    assert (answer.status_code, "scopes" in answer.text) == (401, False)
    once = desk.send(FORMS["create credentials"], MultiDict({'"><b>': "</form><b>"}))
    assert "<b>" not in once.text
