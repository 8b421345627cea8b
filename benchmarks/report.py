"""docs/performance.md from what was measured: each ratio beside what was to be reached.

Each part has its rows of the table and its section, of the newest day on which it was measured; what is not of the
last day is named.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REPORT = Path(__file__).parent.parent / "docs" / "performance.md"


def write_report(days: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the tables anew, from what was measured on each day, oldest first."""
    REPORT.write_text(_report(days))


_DRF = "Django REST framework with API keys"
_BETTER_AUTH = "Better Auth on Node"
_EXPORTED = {
    "copy": "binary COPY of entries, salts and events",
    "bundle": "bundle",
    "csv": "CSV",
    "parquet": "Parquet",
    "sha256": "SHA-256 of the bundle's bytes",
    "verify": "the bundle verified, one process",
    "verify_on_all": "the bundle verified, a process a core",
}
_REFUSALS = (
    ("steady", "believed", "the last yes"),
    ("steady", "refused", "the first refusal"),
    ("most", "believed", "the last yes, as busy as it gets"),
    ("most", "refused", "the first refusal, as busy as it gets"),
    ("cut", "believed", "the last yes, cut off"),
    ("cut", "refused", "the first refusal, cut off"),
)


Measured = Mapping[str, Any]
Row = tuple[str, str, float, float | None]
"""The work, against what, the ratio, and what it is to reach."""


# --- the table of ratios ---------------------------------------------------------------------------------------------


def _append(append: Measured) -> list[Row]:
    at_32 = append["writers"]["32"]  # read from JSON, a key is a text
    return [
        (
            "append, 32 writers, one event a command",
            "the eventsourcing library",
            at_32["ledger_to_vanilla"],
            8.0,
        ),
        ("append, 32 writers", "pgbench's plain insert", at_32["ledger_to_plain_insert"], 0.5),
    ]


def _serving(serving: Measured) -> list[Row]:
    return [
        ("create over HTTP", "the library behind the same server", serving["ratios"]["create/vanilla"], 3.0),
        ("create over HTTP", "Flask's hello", serving["ratios"]["create/hello"], None),
        ("verify, read from PostgreSQL", "Flask's hello", serving["ratios"]["verify/hello"], 0.4),
        ("verify, read from PostgreSQL", _DRF, serving["ratios"]["verify/drf"], 3.0),
        ("verify, read from PostgreSQL", _BETTER_AUTH, serving["ratios"]["verify/better_auth"], None),
        ("verify, from memory", "Flask's hello", serving["ratios"]["cached_verify/hello"], 1.0),
        ("verify, from memory", _DRF, serving["ratios"]["cached_verify/drf"], 7.0),
        ("verify, from memory", _BETTER_AUTH, serving["ratios"]["cached_verify/better_auth"], 10.0),
        ("authorize, from memory", "Flask's hello", serving["ratios"]["cached_authorize/hello"], 2.5),
        ("authorize, from memory", _DRF, serving["ratios"]["cached_authorize/drf"], 7.0),
        ("authorize, from memory", _BETTER_AUTH, serving["ratios"]["cached_authorize/better_auth"], 10.0),
    ]


def _tokens(tokens: Measured) -> list[Row]:
    return [
        ("issue a signed token", "Flask's hello", tokens["ratios"]["issue/hello"], 0.5),
        ("issue a signed token", "oidc-provider", tokens["ratios"]["issue/oidc_provider_issue"], None),
        (
            "issue a signed token, two processes",
            "oidc-provider, two processes",
            tokens["ratios"]["two_processes_issue/oidc_provider_two_processes_issue"],
            1.0,
        ),
        ("issue a signed token", "Authlib alone", tokens["ratios"]["issue/authlib_issue"], None),
        ("introspect", "Flask's hello", tokens["ratios"]["introspect/hello"], None),
        ("introspect", "oidc-provider", tokens["ratios"]["introspect/oidc_provider_introspect"], None),
        ("introspect", "Authlib alone", tokens["ratios"]["introspect/authlib_introspect"], None),
    ]


def _replaying(replaying: Measured) -> list[Row]:
    return [
        ("replay, decoded, in order", "binary COPY, undecoded", replaying["ratios"]["replay/copy"], 0.4),
        (
            "replay, decoded, in order",
            "the library's recorder and transcoder",
            replaying["ratios"]["replay/library"],
            3.0,
        ),
        (
            "rebuild of the list, ten events a credential",
            "the library's projection",
            replaying["ratios"]["rebuild/library"],
            50.0,
        ),
    ]


def _creations(creations: Measured) -> list[Row]:
    return [
        (
            "the same, two events a credential: its worst case",
            "the library's projection",
            creations["ratios"]["rebuild/library"],
            None,
        ),
    ]


def _sealing(sealing: Measured) -> list[Row]:
    return [
        ("seal and sign, rounds of a thousand", "COPY of the leaves, as many commits", sealing["one"]["ratio"], None),
        ("the same, for many organisations", "COPY of the leaves, as many commits", sealing["many"]["ratio"], None),
    ]


def _exporting(exporting: Measured) -> list[Row]:
    return [
        ("export as a bundle that proves itself", "binary COPY of the same", exporting["ratios"]["bundle/copy"], None),
        ("export as CSV", "binary COPY of the same", exporting["ratios"]["csv/copy"], None),
        ("export as Parquet", "binary COPY of the same", exporting["ratios"]["parquet/copy"], None),
        ("verify a bundle, one process", "SHA-256 of the file", exporting["ratios"]["verify/sha256"], None),
        ("verify a bundle, a process a core", "SHA-256 of the file", exporting["ratios"]["verify_on_all/sha256"], None),
    ]


_RATIOS: Mapping[str, Callable[[Measured], list[Row]]] = {
    "append": _append,
    "serving": _serving,
    "tokens": _tokens,
    "replaying": _replaying,
    "replaying_creations": _creations,
    "sealing": _sealing,
    "exporting": _exporting,
}


# --- sections --------------------------------------------------------------------------------------------------------


def _serving_section(serving: Measured) -> str:
    return f"""## Verifying

One process of each: ours, Flask's hello and Django on granian with the same worker and threads, Better Auth
on Node's own server. Each has {serving["keys"]:,} keys, made or stored as its own code does it, in the same PostgreSQL,
and is asked for any of them, evenly drawn. Ours answers from PostgreSQL (it may keep nothing) and from memory: every
key was looked up once before the clock started, and none grows too old within the run. "Verify" is `POST /v1/verify`
with a question in JSON, as Better Auth is asked; "authorize" is `GET /v1/authorize`, the door of proxies, with the key
in a header, as Django is asked. The same code decides at both, before Flask; reading a body costs the rest.
Django keeps its connections; its view takes whoever has a key. Better Auth's limit of ten requests a
day for each key is off; its plugin writes to the key's row at every verification, which is much of what that costs.
Ours is the whole service: it signs the gateway in, decides, counts and logs, of which the peers do less.
{_of_python(serving)}"""


def _of_python(serving: Measured) -> str:
    """What bounds the ratio to hello, where it was measured."""
    if "in_process_us" not in serving:
        return ""
    us, bare = serving["in_process_us"], serving["ratios"]["bare/hello"]
    hello, verify, authorize = us["hello"], us["verify"], us["authorize"]
    return f"""
What the ratio to hello can be: without a server, called in one thread, hello takes {hello:.0f} µs of Python,
"verify" {verify:.0f} and "authorize" {authorize:.0f}. A server adds the same to each, so that over HTTP none can
pass {hello / verify:.2f} and {hello / authorize:.2f}; for 2.5 all of it would have to fit into {hello / 2.5:.0f} µs.
An application without any framework that says what hello does reaches {bare:.2f} on this server.
"""


def _tokens_section(tokens: Measured) -> str:
    return f"""## Access tokens

Client credentials, signed in with Basic, of {tokens["clients"]} clients, for a JWT signed with ES256, which
all three offer as they are: oidc-provider and ours with one process and with two, Authlib behind Flask, on granian. All
keep their clients in memory; ours follows the log, so that a revoked client gets nothing. Each introspects its own
tokens: oidc-provider looks references up in its memory, as it does not introspect signed ones; Authlib checks the
signature alone; ours also asks whether the credential is still good.
"""


def _revoking_section(revoking: Measured) -> str:
    refusals = "\n".join(
        f"| {name} | {one['load']['per_second']:,.0f} | {one['revocations']} | {' | '.join(str(ms) for ms in times)} |"
        for kind, seen, name in _REFUSALS
        for one in [revoking[kind]]
        for times in [one[seen].values()]
    )
    return f"""## From revocation to refusal

{revoking["workers"]} workers, which verify keys meanwhile for {revoking["connections"]} other connections: some
hundreds a second, and as many as they can. Each worker is asked over a connection of its own, again and again, for a
key that it has in memory, while that is revoked over HTTP. Milliseconds from the answer to the revocation, for the
slowest worker: until the last question that was still answered with yes was asked, and until the first refusal came,
which waits in the queue as every answer does. The p99 is to be under 50. Cut off means that the connections by which
the workers follow the log fall silent right before. Then no question that begins more than
{revoking["bound_ms"]:,.0f} ms later may be believed: that bound {"held" if revoking["held"] else "did not hold"}.

| until | verified a second | revocations | p50 | p99 | longest |
| --- | --- | --- | --- | --- | --- |
{refusals}
"""


def _growing_section(growing: Measured) -> str:
    sizes = "\n".join(
        f"| {int(size):,} | {one['per_second']:,.0f} | {one['p50_ms']:.1f} | {one['p99_ms']:.1f} | {one['ratio']:.2f} |"
        for size, one in growing["sizes"].items()
    )
    return f"""## As credentials grow

Verification over HTTP, read from PostgreSQL, of keys drawn evenly from all there are. It is to be flat.

| credentials | a second | p50 ms | p99 ms | ratio |
| --- | --- | --- | --- | --- |
{sizes}
"""


def _listing_section(listing: Measured) -> str:
    pages = "\n".join(
        f"| {name} | {one.get('rows', '')} | {one['small_ms']:.2f} | {one['large_ms']:.2f} | {one['ratio']:.2f} |"
        for name, one in listing["pages"].items()
    )
    return f"""## Pages of lists

A page of the list, client included, in a ledger of {listing["small"]:,} credentials and in one of {listing["large"]:,},
each with a year of history; of each filter as many rows as the small one has, fifty at most. There is an account for
every hundred credentials and an application for every thousand. "Nearly all in use" is an organisation with a tenth as
many keys, of which all but ten were used today. No page should take more than twice as long. The plans of the large one
stand in `benchmarks/results/`.

| page | rows | ms, {listing["small"]:,} | ms, {listing["large"]:,} | ratio |
| --- | --- | --- | --- | --- |
{pages}
"""


def _console_section(listing: Measured) -> str:
    console = "\n".join(
        f"| {name} | {one['p50_ms']:.1f} | {one['p95_ms']:.1f} | {one['bytes'] / 1000:.0f} |"
        for name, one in listing["console"]["pages"].items()
    )
    return f"""## Pages of the console

A page of the console in a ledger of {listing["large"]:,} credentials, whole, at the server: session, queries and
template, through the WSGI application in one process. It is to take less than {listing["console"]["most_ms"]} ms.

| page of the console | p50 ms | p95 ms | kB |
| --- | --- | --- | --- |
{console}
"""


def _past_section(listing: Measured) -> str:
    past = "\n".join(
        f"| {name} | {one['credentials']:,} | {one['seconds']:.1f} | {one['per_second']:,.0f} | {one['peak_mb']:,} "
        f"| {one['page_ms']:.1f} |"
        for name, one in listing["past"].items()
    )
    return f"""## The list as it was

The whole list as it was at a time, each credential folded from its events, in a process of its own, and its first page
of fifty, in the ledger of {listing["large"]:,}. Memory is what the process holds at most, of which some 70 MB are its
imports.

| as of | credentials | seconds | a second | peak MB | ms, a page |
| --- | --- | --- | --- | --- | --- |
{past}
"""


def _sealing_section(sealing: Measured) -> str:
    sealed = "\n".join(
        f"| {name} | {one['per_second']['seal']:,.0f} | {one['cpu_us']:.0f} | {one['per_second']['copy']:,.0f} "
        f"| {one['ratio']:.2f} |"
        for name, one in (("one", sealing["one"]), (sealing["organisations"], sealing["many"]))
    )
    proofs = "\n".join(
        f"| {name} | {one['p50_ms']:.2f} | {one['p99_ms']:.2f} |"
        for name, one in (
            ("found and made", sealing["proofs"]["made"]),
            ("over HTTP, with the head's in the root log", sealing["proofs"]["http"]),
        )
    )
    return f"""## Sealing, and proofs

Events sealed and signed as the sealer does it, {sealing["round_events"]:,} a round, with fsync on: each round is
written in one commit; while the next one is, its leaves are made again of the events, noted in the signer's own file,
and signed in another commit. In turns with that, the same leaves, with their indexes, by binary COPY, as many to a
commit. To reach is 40,000 a second. The time of a processor is this process's alone, without PostgreSQL's.

| events of organisations | sealed a second | µs of a processor | copied a second | ratio |
| --- | --- | --- | --- | --- |
{sealed}

An inclusion proof of any event of a tree of {sealing["proofs"]["size"]:,}, one after the other; it is to take less than
5 ms.

| an inclusion proof | p50 ms | p99 ms |
| --- | --- | --- |
{proofs}
"""


def _exporting_section(exporting: Measured) -> str:
    exported = "\n".join(
        f"| {name} | {one['per_second']:,.0f} | {one['cpu_us']:.1f} | {one['peak_mb']:,} |"
        for key, name in _EXPORTED.items()
        for one in [exporting["ways"][key]]
    )
    return f"""## Exports, and their verification

{exporting["events"]:,} events of one organisation, ten of each credential, written to a file and read from it, each by
a process of its own; as a bundle that is {exporting["bundle_mb"]:,} MB. A bundle is to be written at 100,000 events a
second, in less than 200 MB, and verified at as many. Time of a processor is that of the process and of those which it
began, without PostgreSQL's; memory is the most that any one of them held.

| | events a second | µs of a processor | peak MB |
| --- | --- | --- | --- |
{exported}
{_sparse(exporting)}"""


def _sparse(exporting: Measured) -> str:
    """What a head for every event costs, where it was measured."""
    if "sparse" not in exporting:
        return ""
    events, ways = exporting["sparse"]["events"], exporting["sparse"]["ways"]
    written, one, all_ = (f"{ways[name]['per_second']:,.0f}" for name in ("bundle", "verify", "verify_on_all"))
    return f"""
Those were sealed a thousand at a time. Where little happens an event is sealed by itself, and a bundle has a head for
each, of which root and digest are made again: of {events:,} such events {written} a second were written,
{one} verified by one process, and {all_} by one a core.
"""


_SECTIONS: Mapping[str, Callable[[Measured], str]] = {
    "serving": _serving_section,
    "tokens": _tokens_section,
    "revoking": _revoking_section,
    "growing": _growing_section,
    "listing": _listing_section,
    "sealing": _sealing_section,
    "exporting": _exporting_section,
}
_SECTIONS_OF_LISTING = {"console": _console_section, "past": _past_section}
"""Which are measured with the lists, and have come later than those."""


def _figures(found: Measured) -> str:
    figures: dict[str, float] = {}
    if "append" in found:
        for count, at in found["append"]["writers"].items():
            figures |= {f"append, {count} writers: {k}": v["per_second"] for k, v in at.items() if isinstance(v, dict)}
    for part, name in (("serving", "HTTP"), ("tokens", "HTTP, tokens")):
        if part in found:
            figures |= {f"{name}: {k}": v["per_second"] for k, v in found[part]["medians"].items()}
    if "replaying" in found:
        figures |= {f"events: {k}": v for k, v in found["replaying"]["per_second"].items()}
    return "\n".join(f"| {name} | {value:,.0f} |" for name, value in figures.items())


def _earlier(days: Mapping[str, Measured]) -> str:
    """Which parts are of which day before the last."""
    *before, _ = days
    day_of = {part: day for day in days for part in days[day].keys() & (_RATIOS.keys() | _SECTIONS.keys())}
    parts = {day: sorted(part for part, newest in day_of.items() if newest == day) for day in before}
    said = [f"Of {day}: {', '.join(names)}." for day, names in parts.items() if names]
    return " ".join([*said, "A machine of one day may be twice as fast as that of another."]) if said else ""


def _report(days: Mapping[str, Measured]) -> str:
    found = {part: measured for day in days.values() for part, measured in day.items()}
    c = found["conditions"]
    table = "\n".join(
        f"| {work} | {peer} | {ratio:.2f} | {'' if aim is None else aim} |"
        for part, rows in _RATIOS.items()
        if part in found
        for work, peer, ratio, aim in rows(found[part])
    )
    sections = [section(found[part]) for part, section in _SECTIONS.items() if part in found]
    listing = found.get("listing", {})
    sections += [section(listing) for name, section in _SECTIONS_OF_LISTING.items() if name in listing]
    packages = ", ".join(f"{name} {version}" for name, version in c["packages"].items())
    settings = ", ".join(f"{name} {value}" for name, value in c["postgresql"].items())
    peers = ", ".join(f"{name} {version}" for name, version in c.get("peers", {}).items())
    return f"""# Performance

Written by `make bench`. Each pair ran in turns within one run on one machine, client, server and PostgreSQL sharing its
cores, so ratios mean something and single figures little. Beside our own code, each is compared with a peer that does
the same work, or with a limit: Flask's hello, PostgreSQL's COPY, a plain insert by pgbench, SHA-256.

{c["cores"]} cores ({c["machine"]}), {c["memory_gib"]} GiB; Python {c["python"]}; {packages}; PostgreSQL: {settings}.
On Node {c.get("node", "")}: {peers}. The last of it was measured at {c["at"]}.
{_earlier(days)}

`make bench` needs wrk, Node and npm, and the better part of an hour on a quiet machine. `.venv/bin/python -m benchmarks
--only tokens` measures one part again.

| work | against | ratio | to reach |
| --- | --- | --- | --- |
{table}

{chr(10).join(sections)}
## Single figures

| per second, for orientation | |
| --- | --- |
{_figures(found)}
"""
