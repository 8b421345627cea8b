"""What the WSGI server loads in each worker process, after the process was started.

The services live as long as the process: connections are never shared with the process that started the worker.
"""

import atexit
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from api.app import create_app
from api.attempts import FailedAttempts
from api.observability import ObservedLedger, configure_logging, log_uncaught, observe_batch, observing
from api.wiring import INLINE_ROWS, Services, open_services
from ledger.errors import StoreUnavailable
from ledger.secrets import bound_password_checks
from ledger.settings import Settings, SettingsError, from_environment
from ledger.store.keys import WrongMasterKey
from ledger.store.migrate import MigrationError
from projections.readings import ReadingRecorder
from projections.sealed.sealer import Admission
from projections.usage import UsageRecorder
from projections.verification_cache import VerificationCache

RETRY_SECONDS = 1.0  # how often a worker that starts while PostgreSQL is away looks for it
# Every thread that answers hands the interpreter on within a fraction of this. Python's own 5 ms, waited several times
# over by the thread that learns of revocations, are what a busy worker would be late by.
SWITCH_SECONDS = 0.001
# Objects made and not let go of until the youngest are looked through for cycles: what a few dozen requests hold.
# Python's own 700 has a worker that remembers look-ups spend a twentieth of its time on that.
YOUNG_OBJECTS = 10_000
ORPHAN_SECONDS_MAX = 15.0  # what an orphan took is answered or lost with its database well before that

logger = logging.getLogger("keyledger.worker")


def build(settings: Settings | None = None) -> Any:
    """The WSGI application of this worker; settings from the environment for None, as other servers call it."""
    settings = settings or from_environment()
    configure_logging(settings)
    log_uncaught()
    _end_with_parent()
    bound_password_checks(settings.threads, _cores() // settings.workers)
    stack = ExitStack()
    # A spawned worker ends as any Python does, after its server has answered what it took.
    atexit.register(stack.close)
    services = _open(stack, settings)
    usage = UsageRecorder(services.store, settings.usage_flush)
    usage.start()
    stack.callback(usage.stop)
    readings = ReadingRecorder(services.store, settings.usage_flush)
    readings.start()
    stack.callback(readings.stop)
    cache = _cache(stack, services)
    stack.enter_context(observing(services, usage, readings, cache))
    application = create_app(
        replace(
            services,
            ledger=ObservedLedger(
                services.log,
                INLINE_ROWS,
                cache,
                Admission(services.store, services.settings.seal_delay_max),
                services.erasures,
            ),
            usage=usage,
            readings=readings,
            cache=cache,
            attempts=FailedAttempts(settings),
        )
    )
    _set_interpreter()
    return application


def _set_interpreter() -> None:
    """Have threads take turns sooner than Python's own, and its garbage collector look at what is new, more rarely.

    What the application is made of stays for good, and is left out of every collection from here on.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _cores() -> int:
    """Those that this process may use; all of the machine's where the system does not tell (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cache(stack: ExitStack, services: Services) -> VerificationCache | None:
    entries, seconds = services.settings.verification_cache_max, services.settings.verification_cache_seconds
    if not entries:
        return None
    cache = VerificationCache(services.log, entries_max=entries, seconds_max=seconds)
    cache.start()
    stack.callback(cache.stop)
    return cache


def _open(stack: ExitStack, settings: Settings) -> Services:
    """The services, as soon as PostgreSQL answers: a worker replaced meanwhile must not end the whole server."""
    while True:
        try:
            return stack.enter_context(open_services(settings, settings.database_url, observe_batch))
        except StoreUnavailable as error:
            logger.warning("waiting for PostgreSQL", extra={"detail": str(error)})
            time.sleep(RETRY_SECONDS)
        except (SettingsError, WrongMasterKey, MigrationError) as error:
            logger.critical("the worker cannot start", extra={"detail": str(error)})
            sys.exit(1)


def _end_with_parent() -> None:
    """Stop when the process that started this worker is gone, however it went: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        logger.warning("the serving process is gone: stopping")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS_MAX)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
