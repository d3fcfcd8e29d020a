"""`confiture migrate`: runs migrations, and says where a database stands."""

from __future__ import annotations

from typing import Annotated

import typer

from confiture.cli.context import bad_option, failures, parse_wait, print_failure, project_for
from confiture.cli.options import (
    ConfigOption,
    DatabaseOption,
    DataFormat,
    DataFormatOption,
    DryRunOption,
    EnvOption,
    EventsOption,
    Format,
    FormatOption,
    FullOption,
    NoProveOption,
    OutOfOrderOption,
    ProveTimeOption,
    RepeatOption,
    ReportOption,
    ScaleOption,
    TenantsOption,
    ToOption,
    VarOption,
    WaitOption,
    YesOption,
)
from confiture.cli.running import Asked, Copies, rehearsal_options, run_and_report
from confiture.cli.streams import print_line, say, write_document
from confiture.errors import ExitCode

app = typer.Typer(help="Run migrations, rehearse them, and see where a database stands.", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def migrate(
    context: typer.Context,
    dry_run: DryRunOption = False,
    to: ToOption = None,
    repeat: RepeatOption = None,
    scale_to: ScaleOption = None,
    full: FullOption = False,
    no_prove: NoProveOption = False,
    tenants: TenantsOption = None,
    prove_time: ProveTimeOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    events: EventsOption = None,
    out_of_order: OutOfOrderOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    var: VarOption = None,
    form: FormatOption = Format.TEXT,
    wait: WaitOption = "10s",
) -> None:
    """Run migrations, rehearse them, and see where a database stands.

    `confiture migrate --dry-run` is short for `confiture migrate up --dry-run`.
    """
    if context.invoked_subcommand is None and dry_run:
        up(
            to=to,
            dry_run=True,
            repeat=repeat,
            scale_to=scale_to,
            full=full,
            no_prove=no_prove,
            tenants=tenants,
            prove_time=prove_time,
            yes=yes,
            report=report,
            events=events,
            out_of_order=out_of_order,
            config=config,
            env=env,
            database=database,
            var=var,
            form=form,
            wait=wait,
        )
    elif _given(context):
        command = context.invoked_subcommand or "up"
        raise typer.BadParameter(f"put options behind the command: confiture migrate {command} ...")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _given(context: typer.Context) -> bool:
    return any(str(context.get_parameter_source(name)).endswith("COMMANDLINE") for name in context.params)


@app.command(short_help="Apply the pending migrations.")
def up(
    to: ToOption = None,
    dry_run: DryRunOption = False,
    repeat: RepeatOption = None,
    scale_to: ScaleOption = None,
    full: FullOption = False,
    no_prove: NoProveOption = False,
    tenants: TenantsOption = None,
    prove_time: ProveTimeOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    events: EventsOption = None,
    out_of_order: OutOfOrderOption = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    var: VarOption = None,
    form: FormatOption = Format.TEXT,
    wait: WaitOption = "10s",
) -> None:
    """Apply the pending migrations, each in one transaction together with its history.

    What cannot run in one (CREATE INDEX CONCURRENTLY, batched backfills) commits in segments; a run that stops
    midway is resumed by the next.

    Examples:

        confiture migrate up

        confiture migrate up --to 004 --env production

        confiture migrate up --dry-run --repeat 5 --report dry-run.html

        confiture migrate up --events run.jsonl
    """
    with failures(form) as scope:
        asked = Asked(
            repeat=repeat,
            scale_to=scale_to,
            yes=yes,
            full=full,
            no_prove=no_prove,
            tenants=tenants,
            prove_time=prove_time,
        )
        rehearsal = rehearsal_options(asked, dry_run=dry_run)
        settings = scope.settings(config, env, database)
        project = project_for(settings, var)
        from confiture.core.migrate import UpOptions
        from confiture.core.migrate import up as run_up

        options = UpOptions(
            to=to,
            dry_run=dry_run,
            out_of_order=out_of_order,
            lock_wait_ms=parse_wait(wait),
            rehearsal=rehearsal,
        )
        copies = Copies(report=report, events=events)
        run_and_report(scope, settings, copies, lambda target, emit: run_up(project, target, options, emit))


@app.command(short_help="Undo applied migrations.")
def down(
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="The migration that stays the last one; 0 for none.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, metavar="N", help="How many migrations to undo; default: 1.")
    ] = None,
    dry_run: DryRunOption = False,
    repeat: RepeatOption = None,
    no_prove: NoProveOption = False,
    tenants: TenantsOption = None,
    prove_time: ProveTimeOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    events: EventsOption = None,
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    var: VarOption = None,
    form: FormatOption = Format.TEXT,
    wait: WaitOption = "10s",
) -> None:
    """Undo applied migrations, the last one first, by their `down` steps.

    Examples:

        confiture migrate down

        confiture migrate down --steps 3

        confiture migrate down --to 004

        confiture migrate down --dry-run --repeat 5
    """
    with failures(form) as scope:
        if to is not None and steps is not None:
            raise bad_option("--to and --steps exclude each other", "leave one out")
        asked = Asked(repeat=repeat, yes=yes, no_prove=no_prove, tenants=tenants, prove_time=prove_time)
        rehearsal = rehearsal_options(asked, dry_run=dry_run)
        settings = scope.settings(config, env, database)
        project = project_for(settings, var)
        from confiture.core.migrate import DownOptions
        from confiture.core.migrate import down as run_down

        options = DownOptions(
            to=to,
            steps=steps,
            dry_run=dry_run,
            lock_wait_ms=parse_wait(wait),
            rehearsal=rehearsal,
        )
        copies = Copies(report=report, events=events)
        run_and_report(scope, settings, copies, lambda target, emit: run_down(project, target, options, emit))


@app.command(short_help="Show what is applied, pending, changed.")
def status(
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    var: VarOption = None,
    form: DataFormatOption = DataFormat.TEXT,
) -> None:
    """Show which migrations are applied, which are pending, and whether applied files changed since.

    Ends with 7 if they did.

    Example: confiture migrate status --env production
    """
    as_format = Format(form.value)
    with failures(as_format) as scope:
        settings = scope.settings(config, env, database)
        project = project_for(settings, var)
        from confiture.core.database import open_database
        from confiture.core.standing import standing

        with open_database(settings, say) as target:
            now = standing(project, target)
        if form is DataFormat.JSON:
            from confiture.report.machine import as_text, status_document

            write_document(as_text(status_document(now, settings.environment, target.label)))
        else:
            from confiture.report.standing import print_status
            from confiture.report.terminal import data_console

            print_status(data_console(), now, target.label, settings.environment)
        if now.drift:
            if form is DataFormat.TEXT:
                print_failure(scope, now.drift)
            raise typer.Exit(ExitCode.DRIFT)


@app.command(short_help="Print the plan of a migration.")
def show(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The migration.")],
    down: Annotated[bool, typer.Option("--down", help="The plan that undoes it.")] = False,
    config: ConfigOption = None,
    env: EnvOption = None,
    var: VarOption = None,
    form: DataFormatOption = DataFormat.TEXT,
) -> None:
    """Print the plan of a migration: what commits together, its steps, and the SQL as it will run.

    Needs no database.

    Example: confiture migrate show 004
    """
    as_format = Format(form.value)
    with failures(as_format) as scope:
        # any URL will do: nothing connects
        settings = scope.settings(config, env, "embedded")
        project = project_for(settings, var)
        plan = project.plan_of(version, down=down)
        if form is DataFormat.JSON:
            from confiture.report.machine import as_text, plan_document

            write_document(as_text(plan_document(plan)))
        else:
            from confiture.report.plans import print_plan
            from confiture.report.terminal import data_console

            print_plan(data_console(), plan)


@app.command(short_help="Check the files, without a database.")
def validate(
    config: ConfigOption = None,
    env: EnvOption = None,
    var: VarOption = None,
    form: FormatOption = Format.TEXT,
) -> None:
    """Check everything that can be checked without a database: settings, files, templates, SQL.

    Ends with 0 if all is well, with 2 if not.

    Example: confiture migrate validate --format github
    """
    with failures(form) as scope:
        from confiture.lint.project import check_settings

        settings = scope.settings(config, env, "embedded", check_settings)
        project = project_for(settings, var, needs_variables=True)
        if form is Format.TEXT:
            from confiture.models.words import count

            steps = sum(len(plan.steps) for plan in project.ups)
            print_line(f"{count(len(project.migrations), 'migration')}, {count(steps, 'step')}: all valid.")
        else:
            print_failure(scope, ())


@app.command(short_help="Adopt an existing database.")
def baseline(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="The last migration that the database already holds.")
    ],
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    var: VarOption = None,
    wait: WaitOption = "10s",
) -> None:
    """Adopt an existing database: enter all migrations up to VERSION as applied, without running them.

    Example: confiture migrate baseline 001
    """
    with failures(Format.TEXT) as scope:
        settings = scope.settings(config, env, database)
        project = project_for(settings, var)
        from confiture.core.baseline import baseline as enter
        from confiture.core.database import open_database

        with open_database(settings, say) as target:
            entered = enter(project, target, version, parse_wait(wait))
        for plan in entered:
            print_line(f"{plan.migration.label}: entered as applied")
        if not entered:
            print_line(f"Nothing to do: all migrations up to {version} are applied.")


@app.command(name="adopt-project", short_help="Rename a project's history.")
def adopt_project(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name that the history has.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
    config: ConfigOption = None,
    env: EnvOption = None,
    database: DatabaseOption = None,
    form: DataFormatOption = DataFormat.TEXT,
    wait: WaitOption = "10s",
) -> None:
    """Rename a project's history in a database, after `project:` in confiture.yaml was changed.

    Run it once for each database of the project. Nothing else in the database changes.

    Example: confiture migrate adopt-project default shop
    """
    with failures(Format(form.value)) as scope:
        from confiture.models.settings import PROJECT_NAME, PROJECT_NAME_HINT

        for name in (old, new):
            if PROJECT_NAME.fullmatch(name) is None:
                raise bad_option(f"{name!r} cannot name a project", PROJECT_NAME_HINT)
        if old == new:
            raise bad_option("OLD and NEW are the same name", "give the name that the history has, then the new one")
        settings = scope.settings(config, env, database)
        from confiture.core.adoption import adopt_project as adopt
        from confiture.core.database import open_database

        with open_database(settings, say) as target:
            migrations = adopt(target, old, new, parse_wait(wait))
        if form is DataFormat.JSON:
            from confiture.report.machine import adoption_document, as_text

            write_document(as_text(adoption_document(target.label, old, new, migrations)))
            return
        from confiture.models.words import count

        print_line(f"The history of {old}, with {count(migrations, 'migration')}, is now that of {new}.")
        if settings.project != new:
            print_line(f"Next: write `project: {new}` in confiture.yaml. It says {settings.project} now.")
