"""Builds the schema from the schema files in a throwaway database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from confiture.core.build.script_runner import BuildOptions, OnFile, run_script
from confiture.core.throwaway.server import ThrowawayDatabase, ThrowawayServer
from confiture.errors import InputError
from confiture.plan.schema_script import SchemaScript


@contextmanager
def built_database(
    server: ThrowawayServer,
    script: SchemaScript,
    *,
    purpose: str,
    checks_bodies: bool = True,
    on_file: OnFile | None = None,
) -> Iterator[ThrowawayDatabase]:
    """Build the schema in a throwaway database, yield the database, and drop it on exit.

    `purpose` is a lower-case word for the database's name. With `checks_bodies`, PostgreSQL checks the bodies of
    functions. Raise InputError if the script reaches beyond the database, BuildFailed if a statement fails, and
    DatabaseUnavailable.

    Example::

        script = load_schema_script(settings, {})
        with open_throwaway_server(settings, target) as server, built_database(server, script, purpose="diff") as built:
            facts = read_facts(built.target)
    """
    require_database_scope(script)
    with server.database(
        purpose,
        roles=script.roles,
        created_extensions=script.created_extensions,
        created_schemas=script.created_schemas,
    ) as database:
        options = BuildOptions(
            is_throwaway=True, checks_bodies=checks_bodies, missing_extensions=database.missing_extensions
        )
        with closing(database.target.connect(purpose)) as connection:
            run_script(connection, script, options, on_file)
        yield database


def require_database_scope(script: SchemaScript) -> None:
    """Raise InputError if statements of the script reach beyond the database in which they run."""
    if script.outside_effects:
        raise InputError(*script.outside_effects)
