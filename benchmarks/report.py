"""docs/performance.md from what was measured: each ratio beside what was to be reached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PARTS = {"conditions", "append", "serving", "replaying", "replaying_creations", "listing"}
REPORT = Path(__file__).parent.parent / "docs" / "performance.md"


def write_report(found: Mapping[str, Any]) -> None:
    """Write the tables anew, once every part was measured."""
    if not PARTS - found.keys():
        REPORT.write_text(_report(found))


def _report(found: Mapping[str, Any]) -> str:
    c, append, serving, replaying = (found[name] for name in ("conditions", "append", "serving", "replaying"))
    at_32 = append["writers"].get(32) or append["writers"]["32"]  # read from JSON, a key is a text
    rows = [
        (
            "append, 32 writers, one event a command",
            "the eventsourcing library",
            at_32["ledger_to_vanilla"],
            8.0,
        ),
        ("append, 32 writers", "pgbench's plain insert", at_32["ledger_to_plain_insert"], 0.5),
        ("create over HTTP", "the library behind the same server", serving["ratios"]["create/vanilla"], 3.0),
        ("create over HTTP", "Flask's hello", serving["ratios"]["create/hello"], None),
        ("verify, read from PostgreSQL", "Flask's hello", serving["ratios"]["verify/hello"], 0.4),
        ("verify, from memory", "Flask's hello", serving["ratios"]["cached_verify/hello"], 1.0),
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
        (
            "the same, two events a credential: its worst case",
            "the library's projection",
            found["replaying_creations"]["ratios"]["rebuild/library"],
            None,
        ),
    ]
    table = "\n".join(
        f"| {work} | {peer} | {ratio:.2f} | {'' if aim is None else aim} |" for work, peer, ratio, aim in rows
    )
    figures = "\n".join(
        [
            *(
                f"| append, {count} writers: {name} | {one['per_second']:,.0f} |"
                for count, at in append["writers"].items()
                for name, one in at.items()
                if isinstance(one, dict)
            ),
            *(f"| HTTP: {name} | {one['per_second']:,.0f} |" for name, one in serving["medians"].items()),
            *(f"| events: {name} | {value:,.0f} |" for name, value in replaying["per_second"].items()),
        ]
    )
    listing = found["listing"]
    pages = "\n".join(
        f"| {name} | {one.get('rows', '')} | {one['small_ms']:.2f} | {one['large_ms']:.2f} | {one['ratio']:.2f} |"
        for name, one in listing["pages"].items()
    )
    packages = ", ".join(f"{name} {version}" for name, version in c["packages"].items())
    settings = ", ".join(f"{name} {value}" for name, value in c["postgresql"].items())
    return f"""# Performance

Written by `make bench`. Each pair ran in turns within one run on one machine, client, server and PostgreSQL sharing its
cores, so ratios mean something and single figures little.

{c["cores"]} cores ({c["machine"]}), {c["memory_gib"]} GiB; Python {c["python"]}; {packages}; PostgreSQL: {settings}.
{c["at"]}; {serving["keys"]:,} keys, {serving["connections"]} connections, {serving["workers"]} worker,
{serving["threads"]} threads; {replaying["events"]:,} events; medians of {serving["rounds"]} rounds.

| work | against | ratio | to reach |
| --- | --- | --- | --- |
{table}

## As credentials grow

A page of the list, client included, in a ledger of {listing["small"]:,} credentials and in one of {listing["large"]:,},
each with a year of history; of each filter as many rows as the small one has, fifty at most. No page should take more
than twice as long. The plans of the large one stand in `benchmarks/results/`.

| filter | rows | ms, {listing["small"]:,} | ms, {listing["large"]:,} | ratio |
| --- | --- | --- | --- | --- |
{pages}

## Single figures

| per second, for orientation | |
| --- | --- |
{figures}
"""
