"""What the WSGI server loads in each worker process, after the process was started.

The services live as long as the process: connections are never shared with the process that started the worker.
"""

import atexit
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
from ledger.settings import Settings, SettingsError, from_environment
from ledger.store.keys import WrongMasterKey
from ledger.store.migrate import MigrationError
from projections.usage import UsageRecorder
from projections.verification_cache import VerificationCache

RETRY_SECONDS = 1.0  # how often a worker that starts while PostgreSQL is away looks for it
ORPHAN_SECONDS_MAX = 15.0  # what an orphan took is answered or lost with its database well before that

logger = logging.getLogger("keyledger.worker")


def build(settings: Settings | None = None) -> Any:
    """The WSGI application of this worker; settings from the environment for None, as other servers call it."""
    settings = settings or from_environment()
    configure_logging(settings)
    log_uncaught()
    _end_with_parent()
    stack = ExitStack()
    # A spawned worker ends as any Python does, after its server has answered what it took.
    atexit.register(stack.close)
    services = _open(stack, settings)
    usage = UsageRecorder(services.store, settings.usage_flush)
    usage.start()
    stack.callback(usage.stop)
    cache = _cache(stack, services)
    stack.enter_context(observing(services, usage, cache))
    return create_app(
        replace(
            services,
            ledger=ObservedLedger(services.log, INLINE_ROWS, cache),
            usage=usage,
            cache=cache,
            attempts=FailedAttempts(settings),
        )
    )


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
