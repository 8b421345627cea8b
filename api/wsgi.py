"""What the WSGI server loads in each worker process, after it was forked.

The services live as long as the process: connections are never shared with the process that started the worker.
"""

import atexit
from contextlib import ExitStack
from typing import Any

from api.app import create_app
from api.observability import configure_logging
from api.wiring import open_services
from ledger.settings import from_environment


def build() -> Any:
    """The WSGI application of this worker, from the environment."""
    settings = from_environment()
    configure_logging(settings)
    stack = ExitStack()
    atexit.register(stack.close)
    return create_app(stack.enter_context(open_services(settings, settings.database_url)))
