"""The values of the domain: what is accepted, how it is normalised, what is refused and which field is named."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import InvalidValue
from ledger.values import (
    DESCRIPTION_CHARS_MAX,
    LABEL_CHARS_MAX,
    LABELS_MAX,
    NAME_CHARS_MAX,
    NETWORKS_MAX,
    REASON_CHARS_MAX,
    SCOPES_MAX,
    Description,
    EmailAddress,
    Environment,
    Kind,
    Label,
    Login,
    Mode,
    Name,
    Network,
    PublicId,
    Reason,
    Scope,
    in_the_future,
    labels,
    networks,
    one_of,
    optional,
    parse_address,
    scopes,
    unmapped_address,
    utc,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
TEXTS = [Name, Label, Description, Reason, EmailAddress, Scope, Login, PublicId]


# --- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TEXTS)
@given(raw=st.one_of(st.text(max_size=30), st.emails(), st.from_regex(r"[a-z_]+:[a-z]+", fullmatch=True)))
def test_a_text_that_was_accepted_is_accepted_again_unchanged(kind: type[Name], raw: str) -> None:
    try:
        once = kind(raw)
    except InvalidValue:
        return
    assert kind(once) == once
    assert kind(f"  {raw}\n") == once
    assert once == unicodedata.normalize("NFC", once)


def test_texts_are_trimmed_and_composed() -> None:
    assert Name("  Zoe\u0308 ") == "Zo\u00eb"
    assert Label("   ") == ""
    assert Description(" two\n\tlines ") == "two\n\tlines"


@pytest.mark.parametrize(
    "accepted",
    [
        "日本語",
        "O'Neill & Söhne",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "👩\u200d💻 team",
        "a" * NAME_CHARS_MAX,
    ],
)
def test_names_are_in_any_language(accepted: str) -> None:
    assert Name(accepted) == accepted


@pytest.mark.parametrize(
    "hidden",
    [
        "\x00",
        "\x1b[31m",
        "\x7f",
        "\x9b",
        "\u00ad",
        "\u061c",
        "\u200b",
        "\u200e",
        "\u2028",
        "\u202e",
        "\u2060",
        "\u2066",
        "\u3164",
        "\ufeff",
        "\U000e0041",
        "\ud800",
    ],
)
@pytest.mark.parametrize("kind", [Name, Label, Description, Reason])
def test_what_cannot_be_seen_is_refused(kind: type[Name], hidden: str) -> None:
    with pytest.raises(InvalidValue, match="control or invisible"):
        kind(f"pay{hidden}roll")


@pytest.mark.parametrize("kind", [Name, Label, Reason])
@pytest.mark.parametrize("line_break", ["\n", "\r", "\t"])
def test_only_descriptions_have_line_breaks(kind: type[Name], line_break: str) -> None:
    with pytest.raises(InvalidValue):
        kind(f"a{line_break}b")
    assert Description(f"a{line_break}b") == f"a{line_break}b"


@pytest.mark.parametrize("blank", ["", "   ", "\u200d", "\u2800\u2800", "\u200c \u200d"])
def test_a_name_shows_something(blank: str) -> None:
    with pytest.raises(InvalidValue, match="name: must not be empty"):
        Name(blank)


@pytest.mark.parametrize(
    ("kind", "chars_max"),
    [(Name, NAME_CHARS_MAX), (Label, NAME_CHARS_MAX), (Description, DESCRIPTION_CHARS_MAX), (Reason, REASON_CHARS_MAX)],
)
def test_texts_have_a_bound(kind: type[Name], chars_max: int) -> None:
    assert len(kind("é" * chars_max)) == chars_max
    with pytest.raises(InvalidValue, match=f"longer than {chars_max} characters"):
        kind("é" * (chars_max + 1))


def test_the_field_at_fault_is_named_as_the_caller_calls_it() -> None:
    with pytest.raises(InvalidValue) as refused:
        EmailAddress("x", "operator.email")
    assert (refused.value.field, refused.value.reason) == ("operator.email", "is not a valid email address")


# --- email addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "a@b.co",
        "dev+keys@example.com",
        "o'hara_1.x@mail.example.co.uk",
        "用户@例子.广告",
        "müller@bücher.example",
        "x@xn--bcher-kva.example",
        "l" * 64 + "@example.com",
        "a@" + ".".join(["d" * 63, "d" * 63, "d" * 63, "d" * 60]),
    ],
)
def test_addresses_that_mail_can_have(address: str) -> None:
    assert EmailAddress(address) == address


@given(st.emails())
def test_ordinary_addresses_are_accepted(address: str) -> None:
    if len(address.partition("@")[0]) <= 64:
        assert EmailAddress(address) == address


@pytest.mark.parametrize(
    "mistyped",
    [
        "",
        "dev",
        "dev@",
        "@example.com",
        "dev@example",
        "dev@@example.com",
        "dev@exa mple.com",
        "dev@example..com",
        "dev@.example.com",
        "dev@example.com.",
        ".dev@example.com",
        "dev.@example.com",
        "d..ev@example.com",
        "dev@-example.com",
        "dev@example-.com",
        "dev@127.0.0.1",
        "dev@[127.0.0.1]",
        '"dev"@example.com',
        "Dev <dev@example.com>",
        "dev@example.com, ops@example.com",
        "dev@example.com\nBcc: x@example.com",
        "dev\u00a0x@example.com",
        "dev\uff20example.com",
        "dev@example\u3002com",
        "dev@exam\u2024ple.com",
        "dev@example.com\u200b",
        "l" * 65 + "@example.com",
        "é" * 33 + "@example.com",
        "a@" + "d" * 64 + ".com",
        "a@" + ".".join(["d" * 63, "d" * 63, "d" * 63, "d" * 61]),
    ],
)
def test_addresses_that_are_mistyped(mistyped: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        EmailAddress(mistyped)
    assert refused.value.field == "contact_email"


# --- scopes, logins, public identifiers ------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["customer:view", "payments.route_2:edit", "a:b"])
def test_scopes_are_entity_and_action(scope: str) -> None:
    assert Scope(scope) == scope


@pytest.mark.parametrize(
    "scope",
    ["", "customer", "customer:", ":view", "Customer:view", "a b:view", "a:view:x", "é:b", "a:b\nc:d", "a:" + "b" * 99],
)
def test_what_is_no_scope(scope: str) -> None:
    with pytest.raises(InvalidValue, match="scopes"):
        Scope(scope)


@given(st.lists(st.sampled_from(["customer:view", "customer:edit", "a:b", "z:z"])))
def test_equal_grants_are_equal_whatever_their_order(chosen: list[str]) -> None:
    assert scopes(chosen) == scopes(reversed(chosen)) == tuple(sorted(set(chosen)))


def test_a_wrong_scope_is_named_by_its_place() -> None:
    with pytest.raises(InvalidValue) as refused:
        scopes(["a:b", "nonsense"])
    assert refused.value.field == "scopes.1"


def test_scopes_are_bounded() -> None:
    assert len(scopes(f"e{n}:view" for n in range(SCOPES_MAX))) == SCOPES_MAX
    with pytest.raises(InvalidValue, match=f"more than {SCOPES_MAX}"):
        scopes(f"e{n}:view" for n in range(SCOPES_MAX + 1))


@pytest.mark.parametrize("login", ["ada", "Ada.Lovelace", "7up-x", "ada@example.com", "a" * 100])
def test_logins(login: str) -> None:
    assert Login(login) == login


@pytest.mark.parametrize(
    "login", ["", "ab", "a" * 101, ".ada", "ada lovelace", "ada/../x", "\u0430da", "ada\u200b", "ada;x"]
)
def test_what_is_no_login(login: str) -> None:
    with pytest.raises(InvalidValue, match="login"):
        Login(login)


@pytest.mark.parametrize("public_id", ["", "ab", "a b c", "é" * 5, "x" * 201, "a\tbc"])
def test_what_is_no_public_identifier(public_id: str) -> None:
    with pytest.raises(InvalidValue, match="public_id"):
        PublicId(public_id)


@pytest.mark.parametrize("lookalike", ["\u0410da", "ad\u0430", "\uff46\uff55\uff4c\uff4c", "pay\u2010roll"])
@pytest.mark.parametrize("kind", [Login, PublicId])
def test_identifiers_hold_nothing_that_only_looks_like_ascii(kind: type[Login], lookalike: str) -> None:
    with pytest.raises(InvalidValue):
        kind(lookalike)


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        (" 192.0.2.0/24 ", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("2001:DB8:0:0::1", "2001:db8::1/128"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_has_one_spelling(written: str, canonical: str) -> None:
    assert Network(written) == canonical
    assert Network(Network(written)) == canonical


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "not an IP address"),
        ("office", "not an IP address"),
        ("192.0.2.0/33", "not an IP address"),
        ("192.0.2.256", "not an IP address"),
        ("192.0.2.010", "not an IP address"),
        ("3221225985", "not an IP address"),
        ("192.0.2.1/24", "host bits set: did you mean 192.0.2.0/24"),
        ("fe80::1%eth0", "zone"),
        ("192.0.2.1-192.0.2.9", "not an IP address"),
    ],
)
def test_what_is_no_network_says_why(written: str, why: str) -> None:
    with pytest.raises(InvalidValue, match=why) as refused:
        Network(written)
    assert refused.value.field == "allowlist"


@given(st.ip_addresses(), st.data())
def test_any_network_is_its_own_canonical_form(address: IPv4Address | IPv6Address, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, address.max_prefixlen))
    network = Network(str(ip_network((address, length), strict=False)))
    assert Network(network) == network
    assert address.version == 6 or address in ip_network(network)


@given(st.ip_addresses(v=4))
def test_an_ipv4_mapped_address_is_its_ipv4_one(address: IPv4Address) -> None:
    mapped = ip_address(f"::ffff:{address}")
    assert parse_address(str(mapped)) == address
    assert unmapped_address(mapped) == address
    assert Network(str(mapped)) == f"{address}/32"


@given(st.ip_addresses(v=6))
def test_other_ipv6_addresses_stay_as_they_are(address: IPv6Address) -> None:
    if address.ipv4_mapped is None:
        assert parse_address(str(address)) == address


def test_a_zone_is_no_part_of_an_address() -> None:
    assert str(parse_address("fe80::1%eth0")) == "fe80::1"


@pytest.mark.parametrize("written", ["", "192.0.2.0/24", "192.0.2", "localhost", "fe80::1%", "192.0.2.1, 10.0.0.1"])
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(InvalidValue, match="client_ip"):
        parse_address(written)


def test_an_allowlist_keeps_its_order_without_doubles_and_is_bounded() -> None:
    assert networks(["198.51.100.0/24", "192.0.2.1", "::ffff:192.0.2.1"]) == ("198.51.100.0/24", "192.0.2.1/32")
    with pytest.raises(InvalidValue) as refused:
        networks(["192.0.2.1", "x"])
    assert refused.value.field == "allowlist.1"
    assert len(networks(f"10.0.0.{n}" for n in range(NETWORKS_MAX))) == NETWORKS_MAX
    with pytest.raises(InvalidValue, match=f"more than {NETWORKS_MAX}"):
        networks(f"10.0.0.{n}" for n in range(NETWORKS_MAX + 1))


# --- labels ----------------------------------------------------------------------------------------------------------


def test_labels_are_sorted_and_trimmed() -> None:
    assert list(labels({"team": "billing ", "a": ""}).items()) == [("a", ""), ("team", "billing")]


@pytest.mark.parametrize(
    ("given_labels", "field"),
    [
        ({"": "x"}, "labels"),
        ({"k" * (LABEL_CHARS_MAX + 1): "x"}, "labels"),
        ({"k\u202e": "x"}, "labels"),
        ({"team": "v" * (LABEL_CHARS_MAX + 1)}, "labels.team"),
        ({"team": "a\nb"}, "labels.team"),
        ({"team": "a", "team ": "b"}, "labels.team"),
        ({f"k{n}": "" for n in range(LABELS_MAX + 1)}, "labels"),
    ],
)
def test_labels_are_bounded_and_printable(given_labels: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        labels(given_labels)
    assert refused.value.field == field


# --- times -----------------------------------------------------------------------------------------------------------


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidValue, match="no time zone"):
        utc(datetime(2026, 3, 1), "expires_at")  # noqa: DTZ001 - the case


@given(st.datetimes(timezones=st.integers(-840, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))))
def test_the_same_moment_in_utc(moment: datetime) -> None:
    try:
        found = utc(moment, "expires_at")
    except InvalidValue:
        assert moment.year in (1, 9999)
        return
    assert found == moment
    assert found.tzinfo is UTC


def test_a_moment_outside_the_calendar_is_refused_and_not_a_crash() -> None:
    far_west = timezone(timedelta(hours=-12))
    with pytest.raises(InvalidValue, match="outside the calendar"):
        in_the_future(datetime.max.replace(tzinfo=far_west), NOW, "expires_at")


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(microseconds=-1), timedelta(days=3_660, microseconds=1)])
def test_a_coming_time_lies_ahead_and_not_too_far(ahead: timedelta) -> None:
    with pytest.raises(InvalidValue, match="expires_at"):
        in_the_future(NOW + ahead, NOW, "expires_at")


@pytest.mark.parametrize("ahead", [timedelta(microseconds=1), timedelta(days=3_660)])
def test_a_coming_time_within_bounds(ahead: timedelta) -> None:
    assert in_the_future(NOW + ahead, NOW, "expires_at") == NOW + ahead


# --- choices ---------------------------------------------------------------------------------------------------------


def test_a_choice_that_there_is_not_lists_those_there_are() -> None:
    assert one_of(Kind, "api_key", "kind") is Kind.API_KEY
    with pytest.raises(InvalidValue, match="is not one of live, test") as refused:
        one_of(Mode, "LIVE", "mode")
    assert refused.value.field == "mode"


def test_production_is_live_and_all_else_is_test() -> None:
    assert {e for e in Environment if e.mode is Mode.LIVE} == {Environment.PRODUCTION}


def test_an_absent_or_blank_value_is_none() -> None:
    assert [optional(Label, value) for value in (None, "", "  ", "x")] == [None, None, None, "x"]


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (lambda: one_of(Mode, "both", "mode"), "invalid_choice"),
        (lambda: Name(""), "invalid_length"),
        (lambda: Name("n" * 201), "invalid_length"),
        (lambda: Login("ab"), "invalid_length"),
        (lambda: Name("a\u202eb"), "forbidden_characters"),
        (lambda: PublicId("a b c"), "forbidden_characters"),
        (lambda: EmailAddress("dev"), "invalid_email"),
        (lambda: Scope("customer"), "invalid_scope"),
        (lambda: Login("ada lovelace"), "invalid_login"),
        (lambda: Network("192.0.2.1/24"), "invalid_network"),
        (lambda: parse_address("192.0.2"), "invalid_address"),
        (lambda: labels({"a": "", "a ": ""}), "duplicate_field"),
        (lambda: in_the_future(NOW, NOW, "expires_at"), "past_time"),
        (lambda: in_the_future(NOW + timedelta(days=4_000), NOW, "expires_at"), "invalid_time"),
    ],
)
def test_kinds_of_mistake_have_stable_codes(build: Callable[[], object], code: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        build()
    assert refused.value.code == code


@pytest.mark.parametrize("text", [Name, Label, Description, Reason])
def test_no_text_that_stays_in_the_history_may_hold_a_secret(text: type[Name]) -> None:
    secret = "kl_api_key_test_0000000000000000000000000000002C8GjS"
    with pytest.raises(InvalidValue) as refused:
        text(f"found {secret} on a page")
    assert refused.value.code == "holds_secret"
    assert secret not in str(refused.value)
    assert text(f"like {secret[:-1]}T, whose checksum is wrong")
