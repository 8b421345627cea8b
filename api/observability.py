"""Logs and metrics: what happened in this process, without any secret.

A log line is one JSON object on standard error: time, level, logger, message, and what belongs to the event. Nothing
writes headers, bodies or queries into one; as a second net, whatever looks like a secret of ours is blacked out.

Metrics are Prometheus's, at /metrics. Where `serve` runs several workers they share PROMETHEUS_MULTIPROC_DIR, so any
of them answers for all; what a gauge says is taken every second, since a scrape reaches one worker alone.
"""

import logging
import logging.config
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from types import TracebackType
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from flask import Flask, Response, g, has_request_context, request
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from api.incoming import request_id
from api.wiring import Services
from api.witnesses import ALARMING, Outcome, witness_policy
from ledger.commands import Command
from ledger.errors import LedgerError, StoreUnavailable
from ledger.secret_format import SECRET_PATTERN
from ledger.service import Idempotency, Ledger, Receipt, RowsOf
from ledger.settings import Settings
from ledger.store.erasures import ErasureList
from ledger.store.log import EventLog
from ledger.store.recorder import BatchStatistics
from projections.readings import ReadingRecorder
from projections.reports import report_counts
from projections.runner import lag
from projections.sealed.attested import WITNESSING, list_witnesses, newest_timestamp, witnessing_delay
from projections.sealed.sealer import delay, sealed_log
from projections.sealed.signing import SIGNING
from projections.usage import UsageRecorder
from projections.verification_cache import VerificationCache
from projections.webhook_counts import webhook_figures

# --- logs ------------------------------------------------------------------------------------------------------------

_SECRETS = re.compile(SECRET_PATTERN)
# What PostgreSQL adds to a message after these words quotes the values of rows.
_QUOTES_OF_ROWS = re.compile(r"^(?:DETAIL|CONTEXT|QUERY|STATEMENT):.*$", re.MULTILINE)
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_requests = logging.getLogger("keyledger.requests")
# Asked every few seconds by machines: their lines would bury the others.
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})


class JsonLines(logging.Formatter):
    """A record as one line of JSON; `extra` becomes members of it."""

    def format(self, record: logging.LogRecord) -> str:
        """See the class."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if "request_id" not in line and has_request_context():
            line["request_id"] = request_id()
        if record.exc_info:
            line["exception"] = _QUOTES_OF_ROWS.sub("", self.formatException(record.exc_info))
        text = orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()
        return _SECRETS.sub("[secret]", text) if "kl_" in text else text


def logging_config(level: str) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes, here and in the server's workers, so that all write the same lines."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "api.observability.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "_granian": {"handlers": [], "propagate": True},
            # It tells at INFO of every connection lent, and at DEBUG quotes what it was given.
            "psycopg": {"level": max(logging.WARNING, logging.getLevelName(level))},
            "psycopg.pool": {"level": max(logging.WARNING, logging.getLevelName(level))},
            "authlib": {"level": max(logging.INFO, logging.getLevelName(level))},  # at DEBUG it quotes tokens
        },
    }


def configure_logging(settings: Settings) -> None:
    """Structured logs on standard error, of warnings and of what nobody caught too."""
    # What no line of ours shows need not be found out for each (the "Optimization" of Python's logging HOWTO).
    logging._srcfile = None  # noqa: SLF001 - as that page has it
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.config.dictConfig(logging_config(settings.log_level))
    logging.captureWarnings(True)
    threading.excepthook = _of_a_thread


def log_uncaught() -> None:
    """Have what ends this process logged as a line like the others. For processes without a command line of ours."""
    sys.excepthook = _of_the_process


def _of_the_process(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("keyledger").critical("the process ends", exc_info=(kind, error, trace))


def _of_a_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "unknown"
        found = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("keyledger").error("thread %s ended", name, exc_info=found)


# --- metrics ---------------------------------------------------------------------------------------------------------

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each, which nobody reads

COMMANDS = Counter(
    "keyledger_commands", "Commands by type and outcome: recorded, or the code of the refusal.", ["command", "outcome"]
)
VERIFICATIONS = Counter("keyledger_verifications", "Verifications by their code.", ["code"])
verifications_like = lru_cache(maxsize=20)(VERIFICATIONS.labels)  # as many as there are codes
REQUESTS = Counter("keyledger_http_requests", "HTTP requests.", ["method", "operation", "status"])
# Finding a series by its labels takes longer than counting in it. As many as there are operations with their statuses.
_requests_like = lru_cache(maxsize=2_000)(REQUESTS.labels)
# From a verification that reads memory to a commit that waits for a failover.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DURATION = Histogram("keyledger_http_request_seconds", "Time to answer.", ["operation"], buckets=_SECONDS)
_duration_of = lru_cache(maxsize=500)(DURATION.labels)
BATCH_COMMANDS = Histogram(
    "keyledger_commit_commands", "Commands that one commit carried.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1000)
)
BATCH_SECONDS = Histogram("keyledger_commit_seconds", "Time of one durable commit.", buckets=_SECONDS)
EVENTS = Counter("keyledger_events", "Events recorded.")
QUEUE_DEPTH = Gauge("keyledger_commit_queue_depth", "Commands waiting for a commit.", multiprocess_mode="livesum")
POOL_SIZE = Gauge("keyledger_pool_connections", "PostgreSQL connections of the pool.", multiprocess_mode="livesum")
POOL_IDLE = Gauge("keyledger_pool_idle", "Of those, the idle ones.", multiprocess_mode="livesum")
POOL_WAITING = Gauge("keyledger_pool_waiting", "Requests waiting for a connection.", multiprocess_mode="livesum")
CACHE_HITS = Gauge("keyledger_cache_hits", "Verifications answered from memory.", multiprocess_mode="livesum")
CACHE_MISSES = Gauge("keyledger_cache_misses", "Verifications that asked PostgreSQL.", multiprocess_mode="livesum")
CACHE_ENTRIES = Gauge("keyledger_cache_entries", "Secrets kept in memory.", multiprocess_mode="livesum")
READERS = Gauge("keyledger_readers", "Connections for verification's look-ups.", multiprocess_mode="livesum")
READERS_BUSY = Gauge("keyledger_readers_busy", "Of those, the busy ones.", multiprocess_mode="livesum")
READINGS_DROPPED = Gauge(
    "keyledger_readings_dropped", "Readings of histories and hints that were not kept.", multiprocess_mode="livesum"
)
USES_DROPPED = Gauge("keyledger_uses_dropped", "Verifications whose usage was not kept.", multiprocess_mode="livesum")

GAUGES_SECONDS = 1.0  # finer than any scrape
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ObservedLedger(Ledger):
    """The ledger of a worker: counts commands by how they ended, and tells the worker's own cache of what it recorded,
    so that whoever asks the same worker next is answered by it.
    """

    def __init__(
        self,
        log: EventLog,
        inline: Mapping[type, RowsOf],
        cache: VerificationCache | None = None,
        admit: Callable[[], None] | None = None,
        erasures: ErasureList | None = None,
    ) -> None:
        super().__init__(log, inline, admit, erasures)
        self._cache = cache

    def handle_all(self, commands: Sequence[Command], idempotency: Idempotency | None = None) -> Sequence[Receipt]:
        """See `Ledger.handle_all`."""
        outcome = "fault"
        try:
            receipts = super().handle_all(commands, idempotency)
            outcome = "recorded"
        except LedgerError as error:
            outcome = error.code
            raise
        finally:
            for command in commands:
                COMMANDS.labels(type(command).__name__, outcome).inc()
        if self._cache is not None:
            self._cache.heed(recorded for receipt in receipts for recorded in receipt.recorded)
        return receipts


def observe_batch(batch: BatchStatistics) -> None:
    """What `EventLog` tells after each commit."""
    BATCH_COMMANDS.observe(batch.commands)
    BATCH_SECONDS.observe(batch.seconds)
    EVENTS.inc(batch.events)


@contextmanager
def observing(
    services: Services, usage: UsageRecorder, readings: ReadingRecorder, cache: VerificationCache | None
) -> Iterator[None]:
    """Keeps the gauges of this process up to date."""
    done = threading.Event()

    def keep_up() -> None:
        while not done.wait(GAUGES_SECONDS):
            QUEUE_DEPTH.set(services.log.recorder.group.depth)
            pool = services.store.pool.get_stats()
            POOL_SIZE.set(pool.get("pool_size", 0))
            POOL_IDLE.set(pool.get("pool_available", 0))
            POOL_WAITING.set(pool.get("requests_waiting", 0))
            READERS.set(services.store.readers.count)
            READERS_BUSY.set(services.store.readers.busy)
            USES_DROPPED.set(usage.dropped)
            READINGS_DROPPED.set(readings.dropped)
            if cache is not None:
                CACHE_HITS.set(cache.hits)
                CACHE_MISSES.set(cache.misses)
                CACHE_ENTRIES.set(cache.entries)

    thread = threading.Thread(target=keep_up, name="gauges", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def exposition(services: Services) -> bytes:
    """All metrics in Prometheus's text format, of all workers that share a directory."""
    registry = CollectorRegistry()
    shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if shared:
        _forget_the_dead(Path(shared))
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    text = generate_latest(registry) if shared else generate_latest(REGISTRY)
    return text + generate_latest(_of_the_ledger(services))


def _of_the_ledger(services: Services) -> Any:
    """What is the same whichever process is asked."""
    found = CollectorRegistry(auto_describe=False)
    build = GaugeMetricFamily("keyledger_build_info", "What runs here.", labels=["version", "python"])
    build.add_metric([version("keyledger"), python_version()], 1)
    up = GaugeMetricFamily("keyledger_database_up", "Whether PostgreSQL answers.")
    behind = GaugeMetricFamily("keyledger_projection_lag_seconds", "How far a view is behind.", labels=["projection"])
    events = GaugeMetricFamily("keyledger_projection_lag_events", "Events still to apply.", labels=["projection"])
    held = GaugeMetricFamily(
        "keyledger_report_credentials", "Credentials that a report holds, of all organisations.", labels=["report"]
    )
    counted = GaugeMetricFamily(
        "keyledger_report_counted_timestamp_seconds", "When they were counted, in Unix time.", labels=["report"]
    )
    webhooks = CounterMetricFamily(
        "keyledger_webhooks", "Webhooks delivered, retried and failed, and endpoints disabled.", labels=["outcome"]
    )
    waiting = GaugeMetricFamily("keyledger_webhook_oldest_seconds", "How long the oldest undelivered webhook waits.")
    cosigning = GaugeMetricFamily(
        "keyledger_witness_up", "Whether a witness cosigned when last asked.", labels=["witness"]
    )
    forked = GaugeMetricFamily(
        "keyledger_witness_forked", "Whether a witness was shown another history of the log.", labels=["witness"]
    )
    stamped = GaugeMetricFamily(
        "keyledger_root_stamped_timestamp_seconds", "When the root log was timestamped last, in Unix time."
    )
    try:
        witnesses = witness_policy(services.settings)
        lags = lag(services.store) | {SIGNING: delay(services.store)}
        if witnesses is not None:
            lags[WITNESSING] = witnessing_delay(services.store)
        for name, one in lags.items():
            behind.add_metric([name], one.seconds_behind)
            events.add_metric([name], one.head - one.position)
        for row in report_counts(services.store):
            held.add_metric([row["report"]], row["credentials"])
            counted.add_metric([row["report"]], row["counted_at"].timestamp())
        figures = webhook_figures(services.store)
        for outcome, happened in figures.outcomes.items():
            webhooks.add_metric([outcome], happened)
        waiting.add_metric([], figures.oldest_seconds)
        log = sealed_log(services.log)
        with services.store.cursor_of_tuples() as curs:
            keys = [] if witnesses is None else [key.encode() for key in witnesses.witnesses.values()]
            for status in list_witnesses(curs.connection, keys):
                cosigning.add_metric([status.name], float(status.outcome == Outcome.COSIGNED))
                forked.add_metric([status.name], float(status.outcome in ALARMING))
            newest = None if log is None else newest_timestamp(curs.connection, log.base)
        if newest is not None:
            stamped.add_metric([], newest.stamped_at.timestamp())
        up.add_metric([], 1)
    except StoreUnavailable:
        up.add_metric([], 0)

    class Found:
        """The families as a collector."""

        def collect(self) -> Iterator[Metric]:
            yield from (build, up, behind, events, held, counted, webhooks, waiting, cosigning, forked, stamped)

    found.register(Found())
    return found


def _forget_the_dead(shared: Path) -> None:
    """A worker that was killed must not count in what lives."""
    for file in shared.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with suppress(FileNotFoundError):  # another worker was asked at the same moment
                multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
        except PermissionError:
            pass


# --- requests --------------------------------------------------------------------------------------------------------


def register(app: Flask) -> None:
    """Have each request of the application logged and counted."""
    app.before_request(_begin)
    app.after_request(_end)


BEGUN = "keyledger.begun"
"""Where the fast path leaves in a request's environment when it began: what it hands on has taken that long already."""


def _begin() -> None:
    g.begun = request.environ.get(BEGUN) or time.perf_counter()


def _end(response: Response) -> Response:
    method = request.method if request.method in _METHODS else "other"
    operation = request.endpoint or "none"  # not the path, which anyone may choose
    noted = Noted(method, request.path, operation, response.status_code, request_id())
    caller = g.get("caller")
    code = g.get("code")
    if code is None and response.mimetype == "application/problem+json":
        code = (response.get_json(silent=True) or {}).get("code")
    note_request(noted, time.perf_counter() - g.begun, caller and caller.operator_id, code)
    return response


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Noted(NamedTuple):
    """What is known of every request that was answered."""

    method: str
    path: str
    operation: str
    status: int
    request_id: str


def note_request(noted: Noted, seconds: float, operator_id: UUID | None, code: str | None) -> None:
    """Log and count a request that was answered, however it came in."""
    _requests_like(noted.method, noted.operation, noted.status).inc()
    _duration_of(noted.operation).observe(seconds)
    level = logging.DEBUG if noted.path in _QUIET else logging.INFO
    if _requests.isEnabledFor(level):
        described: dict[str, Any] = {
            "request_id": noted.request_id,
            "method": noted.method,
            "path": noted.path,
            "status": noted.status,
            "duration_ms": round(seconds * 1000, 3),
        }
        if operator_id is not None:
            described["operator_id"] = operator_id
        if code is not None:
            described["code"] = code
        _requests.log(level, "%s", noted.operation, extra=described)
