"""Logs and metrics: what happened in this process, without any secret."""

import logging

from ledger.settings import Settings


def configure_logging(settings: Settings) -> None:
    """Structured logs on standard error."""
    logging.basicConfig(level=settings.log_level)
