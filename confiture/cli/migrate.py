"""`confiture migrate`: run migrations and show the migration status."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from confiture.cli.assess import assess
from confiture.cli.context import error_boundary, load_project_with_vars, parse_variables, parse_wait, usage_error
from confiture.cli.history import history
from confiture.cli.option_groups import expand_options
from confiture.cli.options import (
    DATA_FORMAT_HELP,
    DEFAULT_WAIT,
    DatabaseOptions,
    DryRunFlags,
    DryRunOption,
    OutputFiles,
    RunFormatOption,
    SavedPlanFlags,
    UpDryRunFlags,
    VarOption,
    WaitOption,
    format_option,
)
from confiture.cli.plan import app as plan_app
from confiture.cli.plan import load_saved_plan, open_saved_plan
from confiture.cli.protection import WriteFlags, reads_database, request_write, writes_database
from confiture.cli.review import review_on_terminal
from confiture.cli.run_command import dry_run_options, run_and_report
from confiture.cli.streams import echo_stderr, echo_stdout
from confiture.cli.wait import wait as wait_for
from confiture.errors import Diagnostic, ExitCode
from confiture.models.history import NOT_REPLAYABLE
from confiture.models.identity import WriteRequest
from confiture.output.document import Document
from confiture.output.formats import TEXT, OutputFormat

if TYPE_CHECKING:
    from confiture.core.db.connection import ConnectionTarget
    from confiture.models.events import Emit
    from confiture.plan.project import PlannedProject

app = typer.Typer(no_args_is_help=False)
app.add_typer(plan_app, name="plan", short_help="Save a plan for review, and show saved plans.")


@app.callback(invoke_without_command=True)
@reads_database
@expand_options
def migrate(
    *,
    context: typer.Context,
    options: SavedPlanFlags,
    dry_run: DryRunOption = False,
    flags: UpDryRunFlags,
    files: OutputFiles,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: RunFormatOption = TEXT,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Run, dry-run and roll back migrations, and show their status.

    `confiture migrate --dry-run` is short for `confiture migrate up --dry-run`.

    Example: confiture migrate up --env staging
    """
    if context.invoked_subcommand is None and dry_run:
        _up(options, flags, WriteFlags(), files, settings_options, dry_run, var, output_format, wait)
    elif _has_options(context):
        command = context.invoked_subcommand or "up"
        raise typer.BadParameter(f"put options after the command: confiture migrate {command} ...")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _has_options(context: typer.Context) -> bool:
    return any(str(context.get_parameter_source(name)).endswith("COMMANDLINE") for name in context.params)


@app.command(short_help="Apply the pending migrations.")
@writes_database
@expand_options
def up(
    *,
    options: SavedPlanFlags,
    write: WriteFlags,
    dry_run: DryRunOption = False,
    flags: UpDryRunFlags,
    files: OutputFiles,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: RunFormatOption = TEXT,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Apply the pending migrations, each in one transaction together with its history entry.

    A migration that cannot run in one transaction (CREATE INDEX CONCURRENTLY, batched backfills) commits in segments.
    If a run stops midway, the next run resumes it.

    Examples:

        confiture migrate up

        confiture migrate up --to 004 --env production --confirm production --reason 'release 2.4'

        confiture migrate up --dry-run --repeat 5 --report dry-run.html

        confiture migrate up --events run.jsonl
    """
    _up(options, flags, write, files, settings_options, dry_run, var, output_format, wait)


def _up(
    options: SavedPlanFlags,
    flags: UpDryRunFlags,
    write: WriteFlags,
    files: OutputFiles,
    settings_options: DatabaseOptions,
    dry_run: bool,
    var: list[str] | None,
    output_format: OutputFormat,
    wait: str,
) -> None:
    with error_boundary(output_format) as context:
        rehearsal = dry_run_options(flags, write, dry_run=dry_run)
        from confiture.core.commands import UpOptions
        from confiture.core.commands import up as run_up

        lock_wait_ms = parse_wait(wait)
        if options.interactive:
            review_options = UpOptions(
                to=options.to, out_of_order=options.out_of_order, lock_wait_ms=lock_wait_ms, rehearsal=rehearsal
            )
            reviewed = review_on_terminal(context, options, settings_options, review_options, var, dry_run=dry_run)
            if reviewed is None:
                return
            project, up_options = reviewed.project, reviewed.options
        elif options.plan is not None:
            saved = load_saved_plan(options.plan, options, settings_options, dry_run=dry_run, var=var)
            project, up_options = open_saved_plan(context, saved, settings_options)
            up_options = replace(up_options, lock_wait_ms=lock_wait_ms)
        else:
            project = load_project_with_vars(context.settings(settings_options), var)
            up_options = UpOptions(
                to=options.to,
                dry_run=dry_run,
                out_of_order=options.out_of_order,
                lock_wait_ms=lock_wait_ms,
                rehearsal=rehearsal,
            )

        def run(target: ConnectionTarget, request: WriteRequest, emit: Emit) -> None:
            confirmed = replace(up_options, confirm=request.confirm, reason=request.reason)
            run_up(project, target, confirmed, emit)

        run_and_report(context, project.settings, files, run, None if dry_run else write)


@app.command(short_help="Roll back applied migrations.")
@writes_database
@expand_options
def down(
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="VERSION", help="Roll back everything after this version; 0: everything."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, metavar="N", help="How many migrations to roll back; default: 1.")
    ] = None,
    write: WriteFlags,
    dry_run: DryRunOption = False,
    flags: DryRunFlags,
    files: OutputFiles,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: RunFormatOption = TEXT,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Roll back applied migrations with their `down` steps, most recent first.

    Examples:

        confiture migrate down

        confiture migrate down --steps 3

        confiture migrate down --to 004 --env production --confirm production

        confiture migrate down --dry-run --repeat 5
    """
    with error_boundary(output_format) as context:
        if to is not None and steps is not None:
            raise usage_error("--to and --steps are mutually exclusive", "remove one of them")
        rehearsal = dry_run_options(flags, write, dry_run=dry_run)
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.commands import DownOptions
        from confiture.core.commands import down as run_down

        options = DownOptions(
            to=to,
            steps=steps,
            dry_run=dry_run,
            lock_wait_ms=parse_wait(wait),
            rehearsal=rehearsal,
        )

        def run(target: ConnectionTarget, request: WriteRequest, emit: Emit) -> None:
            confirmed = replace(options, confirm=request.confirm, reason=request.reason)
            run_down(project, target, confirmed, emit)

        run_and_report(context, settings, files, run, None if dry_run else write)


@app.command(short_help="Show applied, pending and changed migrations.")
@reads_database
@expand_options
def status(
    *,
    settings_options: DatabaseOptions,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 8 if migrations are pending, and with 7 if there is drift.")
    ] = False,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.STATUS, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Show applied and pending migrations, and applied migrations whose files have changed since (drift).

    Exits with 7 if there is drift; with --check, also if migrations are out of order, and with 8 if some are pending.

    Examples:

        confiture migrate status --env production

        confiture migrate status --check
    """
    with error_boundary(output_format) as context:
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.db.connection import resolve_database
        from confiture.core.status import migration_status
        from confiture.output.writer import StatusSummary

        with resolve_database(settings, echo_stderr) as target:
            now = migration_status(project, target)
        context.writer.status(StatusSummary(status=now, environment=settings.environment, database=target.label))
        if now.drift:
            raise typer.Exit(ExitCode.DRIFT)
        if check and (now.out_of_order or now.project_mismatch):
            raise typer.Exit(ExitCode.DRIFT)
        if check and now.pending:
            raise typer.Exit(ExitCode.PENDING)


app.command(short_help="Grade the risks of pending migrations.")(assess)
app.command(short_help="Wait until the migrations are applied.")(wait_for)


@app.command(short_help="Print a migration's plan.")
@reads_database
@expand_options
def show(
    *,
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version of the migration.")],
    down: Annotated[bool, typer.Option("--down", help="Print the rollback plan.")] = False,
    applied: Annotated[
        bool, typer.Option("--applied", help="Print the text that ran, before rendering, from the history.")
    ] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.PLAN, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Print a migration's plan: its segments (transactions), its steps, and the rendered SQL.

    Does not need a database, except for `--applied`.

    Examples:

        confiture migrate show 004

        confiture migrate show 004 --applied
    """
    with error_boundary(output_format) as context:
        if applied and down:
            raise usage_error("--applied and --down are mutually exclusive", "remove one of them")
        settings = context.settings(settings_options, needs_database=applied)
        if not applied:
            context.writer.plan(load_project_with_vars(settings, var).plan_of(version, down=down))
            return
        from confiture.core.applied_texts import read_applied_texts
        from confiture.core.db.connection import resolve_database

        with resolve_database(settings, echo_stderr) as target:
            texts = read_applied_texts(target, settings.history, version)
        context.writer.applied(texts)


@app.command(short_help="Copy the files that migrations run to their folders.")
@reads_database
@expand_options
def pin(
    *,
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="The version to pin; default: every migration that is not pinned."),
    ] = None,
    replace: Annotated[
        str | None,
        typer.Option("--replace", metavar="VERSION", help="Replace the pins of this version, which must be pending."),
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--from", metavar="REV", help="With VERSION: pin the files of this git revision."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Pin the files as they are; do not compare them with the history.")
    ] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: Annotated[OutputFormat, format_option(Document.PINS, DATA_FORMAT_HELP)] = TEXT,
) -> None:
    """Copy the files that migrations run to the migrations' own folders, so that the originals may change.

    The pin of schemas/020_orders.sql for migrations/002_add_orders.yaml is migrations/002_add_orders/020_orders.sql.
    A migration runs its pins instead of the originals. An existing pin is not replaced.

    For an applied migration, the pin must contain the text that ran, so the command reads the history.

    Examples:

        confiture migrate pin

        confiture migrate pin 002

        confiture migrate pin --replace 003

        confiture migrate pin 002 --from v1.4
    """
    with error_boundary(output_format) as context:
        if replace is not None and (version is not None or offline):
            other = "VERSION" if version is not None else "--offline"
            raise usage_error(f"--replace and {other} are mutually exclusive", "remove one of them")
        if revision is not None and (version is None or revision.startswith("-")):
            raise usage_error(
                "--from needs a version and a revision", "for example: confiture migrate pin 002 --from main"
            )
        settings = context.settings(settings_options, needs_database=not offline)
        from confiture.core.db.connection import has_no_server, resolve_database
        from confiture.core.pins import PinOptions, pin_migrations

        overrides = parse_variables(var or ())
        options = PinOptions(
            version=replace if replace is not None else version, replace=replace is not None, revision=revision
        )
        if offline or has_no_server(settings):
            result = pin_migrations(settings, overrides, None, options)
        else:
            with resolve_database(settings, echo_stderr) as target:
                result = pin_migrations(settings, overrides, target, options)
        context.writer.pins(result)
        if result.problems:
            raise typer.Exit(ExitCode.USAGE)


@app.command(short_help="Check the files without a database.")
@reads_database
@expand_options
def validate(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Also compare the files with the history in the database.")
    ] = False,
    settings_options: DatabaseOptions,
    var: VarOption = None,
    output_format: RunFormatOption = TEXT,
) -> None:
    """Check everything that can be checked without a database: settings, migration files, templates and SQL.

    With --live, also compare the files with the history. Exits with 7 if there is drift. Otherwise, exits with 1 if
    applied migrations can no longer be replayed, because they are not pinned and their schema files have changed.

    Exits with 0 if everything is valid, and with 2 if it is not.

    Examples:

        confiture migrate validate --format github

        confiture migrate validate --live --env staging
    """
    with error_boundary(output_format) as context:
        from confiture.lint.project import check_rule_settings

        settings = context.settings(settings_options, needs_database=live, check=check_rule_settings)
        project = load_project_with_vars(settings, var, needs_variables=True)
        for note in project.unread_files:
            echo_stderr(f"warning: {note}")
        problems = _compare_with_history(project) if live else ()
        if not output_format.is_text or problems:
            context.writer.diagnostics(problems)
        else:
            from confiture.text import pluralize

            steps = sum(len(plan.steps) for plan in project.ups)
            echo_stdout(f"{pluralize(len(project.migrations), 'migration')}, {pluralize(steps, 'step')}: all valid.")
        if problems:
            has_drift = any(problem.code != NOT_REPLAYABLE for problem in problems)
            raise typer.Exit(ExitCode.DRIFT if has_drift else ExitCode.FINDINGS)


def _compare_with_history(project: PlannedProject) -> tuple[Diagnostic, ...]:
    """Return the drift, and the applied migrations that cannot be replayed."""
    from confiture.core.db.connection import resolve_database
    from confiture.core.status import migration_status

    with resolve_database(project.settings, echo_stderr) as target:
        now = migration_status(project, target)
    return (*now.drift, *(migration.diagnostic for migration in now.unreplayable))


@app.command(short_help="Record migrations as applied without running them.")
@writes_database
@expand_options
def baseline(
    *,
    versions: Annotated[
        str, typer.Argument(metavar="VERSIONS", help="The last version that the database contains, or exact versions.")
    ],
    settings_options: DatabaseOptions,
    force: Annotated[
        bool, typer.Option("--force", help="Record versions whose objects the database does not contain.")
    ] = False,
    write: WriteFlags,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be recorded; record nothing.")] = False,
    var: VarOption = None,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Record migrations as applied without running them, for a database that already contains the objects they create.

    A single version includes all earlier versions; 001:014,016 means exactly these versions.

    Example: confiture migrate baseline 001:014,016
    """
    with error_boundary() as context:
        settings = context.settings(settings_options)
        project = load_project_with_vars(settings, var)
        from confiture.core.baseline import BaselineOptions, record_baseline
        from confiture.core.db.connection import resolve_database

        lock_wait_ms = parse_wait(wait)
        with resolve_database(settings, echo_stderr) as target:
            request = WriteRequest() if dry_run else request_write(context, settings, target, write)
            options = BaselineOptions(
                versions=versions, force=force, dry_run=dry_run, lock_wait_ms=lock_wait_ms, request=request
            )
            result = record_baseline(project, target, options)
        verb = "would be recorded as applied" if dry_run else "recorded as applied"
        for plan in result.recorded:
            echo_stdout(f"{plan.migration.label}: {verb}")
        if not result.recorded:
            echo_stdout(f"Nothing to do: all migrations in {versions} are already applied.")
        for plan in result.pending:
            echo_stdout(f"{plan.migration.label} remains pending; run it with `confiture migrate up --out-of-order`.")


@app.command(name="adopt-project", short_help="Rename the project in the history.")
@writes_database
@expand_options
def adopt_project(
    *,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The current project name in the history.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new project name.")],
    write: WriteFlags,
    settings_options: DatabaseOptions,
    output_format: Annotated[OutputFormat, format_option(Document.ADOPTION, DATA_FORMAT_HELP)] = TEXT,
    wait: WaitOption = DEFAULT_WAIT,
) -> None:
    """Rename the project in a database's history after changing `project:` in confiture.yaml.

    Run this command once on each of the project's databases. It changes nothing else in the database.

    Example: confiture migrate adopt-project default shop
    """
    with error_boundary(output_format) as context:
        from confiture.models.settings import PROJECT_NAME, PROJECT_NAME_HINT

        for name in (old, new):
            if PROJECT_NAME.fullmatch(name) is None:
                raise usage_error(f"{name!r} is not a valid project name", PROJECT_NAME_HINT)
        if old == new:
            raise usage_error("OLD and NEW are the same name", "pass the name in the history, then the new name")
        settings = context.settings(settings_options)
        from confiture.core.adoption import adopt_project as adopt
        from confiture.core.db.connection import resolve_database
        from confiture.output.writer import AdoptionSummary

        with resolve_database(settings, echo_stderr) as target:
            # the history still has its former name
            request = request_write(context, replace(settings, project=old), target, write)
            migrations = adopt(target, settings, old, new, request, parse_wait(wait))
        context.writer.adoption(
            AdoptionSummary(database=target.label, old=old, new=new, configured=settings.project, migrations=migrations)
        )


app.command(short_help="Show what happened to the migrations.")(history)
