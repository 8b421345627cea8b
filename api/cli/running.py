"""`keyledger serve`, `project`, `migrate` and `rebuild`: running the service and keeping what it stands on."""

import signal
from types import FrameType

import click

from api.cli.output import progress_bar, task, tell
from api.cli.session import checked_settings, open_ledger
from api.wiring import database
from ledger.settings import Settings
from ledger.store.keys import Keyring
from ledger.store.migrate import migrate as apply_migrations


@click.command()
def serve() -> None:
    """Serve the API in the foreground, until Ctrl-C.

    Starts the embedded PostgreSQL unless KEYLEDGER_DATABASE_URL names another, migrates, and prints the first
    administrator's token once.
    """
    settings = checked_settings()
    from api.serving import serve as run  # the server's libraries take a second to load; no other command needs them

    run(settings)


@click.command()
def project() -> None:
    """Keep the views up to date, as a process of its own, until Ctrl-C. Several share the work safely.

    It also seals events and has witnesses cosign that, sweeps (revokes what hangs on what was closed), delivers
    webhooks, and counts for the metrics what the reports hold.
    """
    from api.attesting import Attestation
    from api.erasing import erase_again
    from api.observability import configure_logging  # Flask's family comes with it
    from api.sealing import open_sealed_log
    from api.sweeping import Sweeper
    from api.webhook_delivering import WebhookDeliverer
    from projections.reports import ReportCounter
    from projections.runner import Projector
    from projections.sealed.sealer import Sealer

    configure_logging(checked_settings())
    with open_ledger() as session:
        services = session.services
        erase_again(services)
        open_sealed_log(services.log, services.ledger)
        projector, sweeper, sealer = Projector(services.log), Sweeper(services), Sealer(services.log)
        deliverer, attestation = WebhookDeliverer(services), Attestation(services)
        counter = ReportCounter(services.store, services.settings.rotation_days, services.settings.report_interval)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            projector.stop()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        tell("Projecting; Ctrl-C ends it.")
        sealer.start()
        sweeper.start()
        deliverer.start()
        attestation.start()
        counter.start()
        projector.run()
        counter.stop()
        attestation.stop()
        deliverer.stop()
        sealer.stop()
        sweeper.stop()


@click.command()
@click.option("--init", is_flag=True, help="Also make the data directory and a master key in it, where there is none.")
def migrate(init: bool) -> None:
    """Bring the database to what this version needs. Does nothing where it is there already."""
    settings = checked_settings()
    if init:
        _initialise(settings)
    with database(settings) as conninfo:
        applied = apply_migrations(conninfo, settings.schema)
    for step in applied:
        click.echo(f"Applied {step.version:04}_{step.name}.")
    if not applied:
        click.echo("The database is up to date.")


def _initialise(settings: Settings) -> None:
    from api.serving import prepare_data_dir

    makes_key = not settings.master_key and not settings.master_key_file.exists()
    prepare_data_dir(settings)
    Keyring.from_settings(settings)
    if makes_key:
        tell(f"Made a master key in {settings.master_key_file}. Keep a copy elsewhere: without it nothing can be read.")


@click.command()
@click.argument("view", required=False)
@click.option("--all", "every", is_flag=True, help="Every view.")
def rebuild(view: str | None, every: bool) -> None:
    """Rebuild a view from the log while the service runs."""
    from projections import PROJECTIONS
    from projections.rebuild import rebuild as rebuild_view

    names = [one.name for one in PROJECTIONS]
    if every == (view is not None):
        raise click.UsageError("name a view, or say --all")
    if view is not None and view not in names:
        raise click.BadParameter(f"there is none of that name; there are {', '.join(names)}", param_hint="VIEW")
    with open_ledger() as session:
        for name in names if view is None else [view]:
            with progress_bar() as progress:
                rebuild_view(session.services.log, name, task(progress, f"Rebuilding {name}"))
            click.echo(f"Rebuilt {name}.")
