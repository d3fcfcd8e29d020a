"""The forms of `confiture build`: build a database, check, write one SQL file, and build a template database."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confiture.core.build.empty_database import require_empty_database
from confiture.core.build.schema_build import built_database
from confiture.core.build.script_runner import BuildOptions, OnFile, run_script
from confiture.core.build.template_database import build_template
from confiture.core.db.connection import ConnectionTarget, check_server, connect_for_query
from confiture.core.db.identity_store import IdentityStore
from confiture.core.throwaway.server import open_throwaway_server
from confiture.errors import Diagnostic, InputError
from confiture.files.access import FileAccessError, write_named_file
from confiture.models.builds import BuildAction, BuildReport
from confiture.models.identity import WriteRequest
from confiture.models.records import replace
from confiture.models.settings import Settings
from confiture.plan.schema_script import SchemaScript, load_schema_script
from confiture.plan.schema_sql import format_script


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildProgress:
    """Receivers of a build's progress: `notify` gets sentences for the user, `on_file` is called before each file.

    `on_load` is called with the script before anything runs.
    """

    notify: Callable[[str], None] = lambda _: None
    on_load: Callable[[SchemaScript], None] = lambda _: None
    on_file: OnFile | None = None


class SchemaBuild:
    """A build of the project's schema files, as they are now. Creating the object reads and checks the files.

    `overrides` are variables with the highest precedence. Raise InputError with all errors in all files.

    Example::

        report = SchemaBuild(settings, {}).check(target)
        print(report.files, report.run_ms)
    """

    def __init__(self, settings: Settings, overrides: Mapping[str, Any], progress: BuildProgress | None = None) -> None:
        started = time.perf_counter()
        self.settings = settings
        self._progress = progress or BuildProgress()
        self.script = load_schema_script(settings, overrides)
        _require_files(self.script, settings)
        self._read_ms = _elapsed_ms(started)
        self._progress.on_load(self.script)

    def build(self, target: ConnectionTarget, request: WriteRequest | None = None) -> BuildReport:
        """Build the schema in an empty database. A protected environment requires its name in `request`.

        Raise InputError if the database is not empty, BuildFailed if a statement fails, and DatabaseUnavailable.
        """
        self._require_confirmation(target, request)
        started = time.perf_counter()
        with closing(target.connect("build")) as connection:
            check_server(connection, target.label)
            run_script(
                connection,
                self.script,
                BuildOptions(is_throwaway=False),
                self._progress.on_file,
                check=lambda session: require_empty_database(session, target.label),
            )
        return self._report(BuildAction.BUILD, target.label, started)

    def check(self, target: ConnectionTarget) -> BuildReport:
        """Build the schema in a throwaway database that resembles the target, and drop it. Raise the same errors."""
        started = time.perf_counter()
        with (
            open_throwaway_server(self.settings, target, self._progress.notify) as server,
            built_database(server, self.script, purpose="check", on_file=self._progress.on_file) as database,
        ):
            report = self._report(BuildAction.CHECK, server.label, started)
            missing = tuple(str(extension) for extension in database.missing_extensions)
            return replace(report, notes=(*database.notes, *missing))

    def template(self, target: ConnectionTarget, name: str, request: WriteRequest | None = None) -> BuildReport:
        """Build the template database `name` on the target's server, unless it is up to date.

        A protected environment requires its name in `request`. Raise the same errors as `build_template`.
        """
        self._require_confirmation(target, request)
        started = time.perf_counter()
        with open_throwaway_server(self.settings, target, self._progress.notify) as server:
            result = build_template(server, self.script, name, self._progress.on_file)
            report = self._report(BuildAction.TEMPLATE, f"{name} on {server.label}", started)
            return replace(report, is_unchanged=result.is_unchanged, notes=result.notes)

    def write(self, path: Path) -> BuildReport:
        """Write the script to a file, or replace it. Nothing runs. Raise InputError if the file cannot be written."""
        try:
            write_named_file(path, format_script(self.script).encode())
        except FileAccessError as refused:
            hint = "name a file in a writable folder"
            raise InputError(Diagnostic(code="bad-option", message=f"--output: {refused}", hint=hint)) from refused
        return self._report(BuildAction.OUTPUT, str(path), None)

    def _require_confirmation(self, target: ConnectionTarget, request: WriteRequest | None) -> None:
        with connect_for_query(target, "build", "the identity of the database cannot be read") as connection:
            IdentityStore(connection).check_write(self.settings, request or WriteRequest(), needs_reason=False)

    def _report(self, action: BuildAction, target: str, started: float | None) -> BuildReport:
        return BuildReport(
            action=action,
            environment=self.settings.environment,
            target=target,
            files=len(self.script.files),
            statements=self.script.statements,
            content_hash=self.script.content_hash,
            read_ms=self._read_ms,
            run_ms=_elapsed_ms(started) if started is not None else 0.0,
        )


def _require_files(script: SchemaScript, settings: Settings) -> None:
    if not script.files:
        folder = settings.schemas
        raise InputError(
            Diagnostic(
                code="no-schema-files",
                message=f"there are no schema files in {folder}",
                hint="set `schemas:` in confiture.yaml to the folder with the SQL files",
            )
        )


def _elapsed_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
