"""`confiture init`, `new`, `schema`, and where the project stands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from confiture.cli.context import error_boundary, project_for
from confiture.cli.options import ConfigOption, SettingsOptions
from confiture.cli.streams import print_line, say, write_document
from confiture.errors import ConfitureError

if TYPE_CHECKING:
    from confiture.plan.project import PlannedProject


def init(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where; default: here.")] = Path(),
) -> None:
    """Make a new project: confiture.yaml, a folder for migrations and one for DDL files.

    Example: confiture init shop && cd shop && confiture new add_orders
    """
    with error_boundary():
        from confiture.files.writing import create_project

        for path in create_project(folder, _entries()):
            print_line(f"wrote {path}")
        say("Next: `confiture new NAME` writes the first migration.")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it does, for example add_order_totals.")],
    python: Annotated[bool, typer.Option("--python", help="Write it in Python; default: YAML.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write a new migration with the next version, ready to be filled in.

    Example: confiture new add_order_totals
    """
    with error_boundary() as context:
        from confiture.files.migration import migration_paths, version_of_file
        from confiture.files.writing import create_migration, create_python_migration

        settings = context.settings(SettingsOptions(config=config), needs_database=False)
        paths = migration_paths(settings.migrations, settings.root) if settings.migrations.is_dir() else []
        versions = [version for path in paths if (version := version_of_file(path))]
        if python:
            path = create_python_migration(name, settings.migrations, versions)
        else:
            path = create_migration(name, settings.migrations, settings.root, versions, _entries())
        print_line(os.path.relpath(path))
        say("Next: fill it in, then `confiture migrate validate`.")


def schema(
    name: Annotated[
        str, typer.Argument(metavar="migration|settings", help="Which file's schema to print.")
    ] = "migration",
    install: Annotated[
        bool, typer.Option("--install", help="Write both below .confiture/schema/, where editors look for them.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Print the JSON Schema of migration files or of confiture.yaml.

    Example: confiture schema settings > confiture.schema.json
    """
    with error_boundary() as context:
        from confiture.files.json_schema import install_schemas, json_schema
        from confiture.lint.engine.configuration import entry_schemas
        from confiture.lint.registry import known_rules

        if name not in ("migration", "settings"):
            raise typer.BadParameter("migration or settings", param_hint="NAME")
        if install:
            settings = context.settings(SettingsOptions(config=config), needs_database=False)
            install_schemas(settings.root, entry_schemas(known_rules(settings.linting, settings.root).values()))
            say(f"wrote {settings.root / '.confiture' / 'schema'}")
            return
        entries = _entries() if name == "settings" else ()
        write_document(json.dumps(json_schema(name, entries), indent=2) + "\n")  # type: ignore[arg-type]


def _entries() -> list[dict[str, Any]]:
    """The JSON Schemas of the settings' entries for the built-in rules."""
    from confiture.lint.engine.configuration import entry_schemas
    from confiture.lint.registry import built_in_rules

    return entry_schemas(built_in_rules().values())


def overview() -> None:
    """Says where the project around the working directory stands, and what to do next."""
    from confiture.files.settings import find_settings_file

    if not (os.environ.get("CONFITURE_CONFIG") or find_settings_file(Path.cwd())):
        print_line("There is no confiture.yaml here or above.")
        print_line("Next: `confiture init` makes a project here; `confiture --help` lists the commands.")
        return
    with error_boundary() as context:
        settings = context.settings(SettingsOptions())
        print_line(f"Project {settings.root}, environment {settings.environment}")
        project = project_for(settings, None)
        if not project.migrations:
            print_line("No migrations yet. Next: `confiture new NAME`.")
            return
        _database_overview(project)


def _database_overview(project: PlannedProject) -> None:
    from confiture.core.database import label_of, open_database
    from confiture.core.standing import standing
    from confiture.models.settings import EMBEDDED
    from confiture.models.words import count

    settings = project.settings
    known = count(len(project.migrations), "migration")
    if settings.database.url == EMBEDDED and not (settings.root / ".confiture" / "postgres" / "data").exists():
        print_line(f"{known}, none applied: the embedded server does not exist yet.")
        print_line("Next: `confiture migrate up` makes it and applies them.")
        return
    try:
        with open_database(settings, say) as database:
            now = standing(project, database)
    except ConfitureError as error:
        print_line(f"{known}; {error.diagnostics[0].message}.")
        print_line("Next: `confiture migrate status` says more.")
        return
    print_line(f"{known}: {len(now.applied)} applied, {len(now.pending)} pending on {label_of(settings.database)}.")
    if now.drift:
        print_line("Applied files changed. Next: `confiture migrate status`.")
    elif now.unfinished:
        print_line(f"{now.unfinished.version} {now.unfinished.name} stopped midway. Next: `confiture migrate status`.")
    elif now.pending:
        print_line("Next: `confiture migrate --dry-run`, then `confiture migrate up`.")
    else:
        print_line("Nothing to do. `confiture new NAME` writes the next migration.")
