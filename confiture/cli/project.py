"""`confiture init`, `new`, `schema`, and the project overview."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from confiture.cli.context import error_boundary, load_project_with_vars
from confiture.cli.options import ConfigOption, SettingsOptions
from confiture.cli.protection import without_database
from confiture.cli.streams import echo_stderr, echo_stdout, write_document
from confiture.errors import ConfitureError

if TYPE_CHECKING:
    from confiture.models.settings import Settings
    from confiture.plan.project import PlannedProject


@without_database
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="The project folder; default: the working directory.")
    ] = Path(),
) -> None:
    """Create a new project: confiture.yaml, a folder for migrations and a folder for DDL files.

    Example: confiture init shop && cd shop && confiture new add_orders
    """
    with error_boundary():
        from confiture.files.scaffold import create_project
        from confiture.plan.json_schema import build_schema_files

        for path in create_project(folder, build_schema_files(_built_in_entry_schemas())):
            echo_stdout(f"wrote {path}")
        echo_stderr("Next: run `confiture new NAME` to create the first migration.")


@without_database
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the migration does, for example add_order_totals.")],
    python: Annotated[bool, typer.Option("--python", help="Create a Python migration; default: YAML.")] = False,
    config: ConfigOption = None,
) -> None:
    """Create a migration file with the next version and a template to fill in.

    Example: confiture new add_order_totals
    """
    with error_boundary() as context:
        from confiture.files.migration import migration_paths, parse_file_version
        from confiture.files.scaffold import create_migration, create_python_migration
        from confiture.plan.json_schema import build_schema_files

        settings = context.settings(SettingsOptions(config=config), needs_database=False)
        paths = migration_paths(settings.migrations, settings.root) if settings.migrations.is_dir() else []
        versions = [version for path in paths if (version := parse_file_version(path))]
        if python:
            path = create_python_migration(name, settings.migrations, versions)
        else:
            schemas = build_schema_files(_built_in_entry_schemas())
            path = create_migration(name, settings.migrations, settings.root, versions, schemas)
        echo_stdout(os.path.relpath(path))
        echo_stderr("Next: fill in the file, then run `confiture migrate validate`.")
        _remind_of_pins(settings)


def _remind_of_pins(settings: Settings) -> None:
    """Print the migrations that are not pinned: editing their schema files would change what the migrations run."""
    from confiture.errors import DiagnosticCollector
    from confiture.plan.project import read_project
    from confiture.text import list_some, pluralize

    migrations = read_project(settings, {}, DiagnosticCollector()).migrations
    unpinned = [migration.version for migration in migrations if not migration.is_pinned]
    if unpinned:
        number = pluralize(len(unpinned), "migration")
        names = list_some(unpinned)
        echo_stderr(f"{number} not pinned ({names}): run `confiture migrate pin` before you edit their schema files.")


@without_database
def schema(
    name: Annotated[str, typer.Argument(metavar="migration|settings", help="The kind of file.")] = "migration",
    install: Annotated[
        bool, typer.Option("--install", help="Write both schemas to .confiture/schema/ for editors.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Print the JSON Schema for migration files or for confiture.yaml.

    Example: confiture schema settings > confiture.schema.json
    """
    with error_boundary() as context:
        from confiture.files.scaffold import write_schemas
        from confiture.lint.engine.configuration import rule_settings_schemas
        from confiture.lint.registry import known_rules
        from confiture.plan.json_schema import build_json_schema, build_schema_files

        if name not in ("migration", "settings"):
            raise typer.BadParameter("must be `migration` or `settings`", param_hint="NAME")
        if install:
            settings = context.settings(SettingsOptions(config=config), needs_database=False)
            rules = known_rules(settings.linting, settings.root).values()
            write_schemas(settings.root, build_schema_files(rule_settings_schemas(rules)))
            echo_stderr(f"wrote {settings.root / '.confiture' / 'schema'}")
            return
        entries = _built_in_entry_schemas() if name == "settings" else ()
        write_document(json.dumps(build_json_schema(name, entries), indent=2) + "\n")  # type: ignore[arg-type]


def _built_in_entry_schemas() -> list[dict[str, Any]]:
    """Return the JSON Schemas for the built-in rules' settings."""
    from confiture.lint.engine.configuration import rule_settings_schemas
    from confiture.lint.registry import built_in_rules

    return rule_settings_schemas(built_in_rules().values())


def print_overview() -> None:
    """Print the status of the project that contains the working directory, and print the next step."""
    from confiture.files.settings import find_settings_file

    if not (os.environ.get("CONFITURE_CONFIG") or find_settings_file(Path.cwd())):
        echo_stdout("There is no confiture.yaml in this folder or its parent folders.")
        echo_stdout("Next: `confiture init` creates a project here; `confiture --help` lists the commands.")
        return
    with error_boundary() as context:
        settings = context.settings(SettingsOptions())
        echo_stdout(f"Project {settings.root}, environment {settings.environment}")
        project = load_project_with_vars(settings, None)
        for note in project.unread_files:
            echo_stdout(f"{note}.")
        if not project.migrations:
            echo_stdout("No migrations yet. Next: run `confiture new NAME`.")
            return
        _print_database_overview(project)


def _print_database_overview(project: PlannedProject) -> None:
    from confiture.core.db.connection import database_label, has_no_server, resolve_database
    from confiture.core.status import migration_status
    from confiture.plan.history import pin_command
    from confiture.text import pluralize

    settings = project.settings
    migrations = pluralize(len(project.migrations), "migration")
    if has_no_server(settings):
        echo_stdout(f"{migrations}, none applied: the embedded server does not exist yet.")
        echo_stdout("Next: `confiture migrate up` creates it and applies the migrations.")
        return
    try:
        with resolve_database(settings, echo_stderr) as database:
            now = migration_status(project, database)
    except ConfitureError as error:
        echo_stdout(f"{migrations}; {error.diagnostics[0].message}.")
        echo_stdout("Next: run `confiture migrate status` for details.")
        return
    echo_stdout(
        f"{migrations}: {len(now.applied)} applied, {len(now.pending)} pending on {database_label(settings.database)}."
    )
    if now.unreplayable:
        number = pluralize(len(now.unreplayable), "migration")
        command = pin_command([one.version for one in now.unreplayable], settings)
        echo_stdout(f"{number} can no longer be replayed. Next: run `{command}`.")
    if now.drift:
        echo_stdout("Files of applied migrations have changed. Next: run `confiture migrate status`.")
    elif now.first_interrupted:
        echo_stdout(
            f"{now.first_interrupted.version} {now.first_interrupted.name} stopped midway. Next: run"
            " `confiture migrate status`."
        )
    elif now.pending:
        echo_stdout("Next: run `confiture migrate --dry-run`, then `confiture migrate up`.")
    else:
        echo_stdout("Nothing to do. `confiture new NAME` creates the next migration.")
