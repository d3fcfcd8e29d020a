"""The project as programs use it: loaded, linted, run and dry-run.

The methods import what they need when they are called, so that a project is read without a driver.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confiture.models.plan import Direction, Plan
from confiture.plan.project import PlannedProject, load_project, require_variables

if TYPE_CHECKING:
    from confiture.core.commands import DownOptions, UpOptions
    from confiture.models.events import Emit
    from confiture.models.findings import LintReport
    from confiture.models.reports import RunReport


class Project(PlannedProject):
    """A project's files as data, and what can be done with them. `migrations` are in the order in which they run.

    Example::

        project = Project.load("shop", environment="staging")
        for finding in project.lint().findings:
            print(finding.severity, finding.span, finding.message)
        report = project.run()
    """

    __slots__ = ()

    @classmethod
    def load(
        cls,
        path: Path | str = ".",
        *,
        environment: str | None = None,
        database: str | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Project:
        """The project around a folder, or of a confiture.yaml, for one environment.

        `database` (a URL or conninfo) and `variables` win over the settings, as the options of the command line do.
        Raises InputError with every mistake in every file. Variables that templates miss are told by what needs them:
        a migration that is applied does not.

        Example::

            project = Project.load("shop", environment="staging")
            report = project.dry_run(repeat=5)
            print(report.estimated_production_time_ms, report.locked_tables)
        """
        from confiture.files.settings import SettingsOverrides, load_settings

        given = Path(path)
        config = given if given.is_file() else None
        start = given.parent if given.is_file() else given
        overrides = SettingsOverrides(config=config, environment=environment, database=database)
        settings = load_settings(start.absolute(), overrides, os.environ)
        read = load_project(settings, dict(variables or {}), needs_variables=False)
        return cls(settings=read.settings, migrations=read.migrations, ups=read.ups, downs=read.downs)

    def plan(self, direction: Direction = Direction.UP) -> Plan:
        """All migrations as they would run on an empty database, or be undone from a full one: nothing is connected.

        Going down, migrations without `down` are left out. Raises InputError where templates miss variables.

        Example::

            for migration in project.plan().migrations:
                print(migration.version, len(migration.segments))
        """
        plans = self.ups
        if direction is Direction.DOWN:
            versions = [migration.version for migration in reversed(self.migrations)]
            plans = tuple(self.downs[version] for version in versions if version in self.downs)
        require_variables(plans)
        return Plan(direction=direction, migrations=plans)

    def run(self, options: UpOptions | DownOptions | None = None, *, on_event: Emit | None = None) -> RunReport:
        """Applies what is pending; with DownOptions, undoes what is applied. `on_event` is told what happens.

        Raises what the command line's exit codes say: InputError, DatabaseUnavailable, LockHeld, Drift, HazardsFound,
        CheckFailed, MigrationFailed, MigrationStopped.

        Example::

            report = project.run(UpOptions(to="014"))
            print(report.rows_affected)
        """
        from confiture.core.commands import DownOptions, UpOptions, down, up
        from confiture.core.db.connection import resolve_database
        from confiture.models.events import Emitter, Notice
        from confiture.models.report_builder import ReportBuilder

        folding = ReportBuilder()
        emit = Emitter(folding, *([on_event] if on_event else []))
        # an embedded server runs meanwhile
        with resolve_database(self.settings, lambda text: emit(Notice(text=text))) as database:
            if isinstance(options, DownOptions):
                down(self, database, options, emit)
            else:
                up(self, database, options or UpOptions(), emit)
        return folding.report

    def dry_run(
        self, *, to: str | None = None, repeat: int = 1, full: bool = False, on_event: Emit | None = None
    ) -> RunReport:
        """Runs what is pending and rolls it back, `repeat` times; the report says what was measured.

        With `full`, batched backfills are not only sampled. Raises as `run` does; InputError in an environment that is
        protected, unless `run` is given options that confirm it.

        Example::

            report = project.dry_run(repeat=5)
            print(report.estimated_range_low_ms, report.estimated_range_high_ms, report.confidence_percent)
        """
        from confiture.core.commands import UpOptions
        from confiture.core.run.context import DryRunOptions

        rehearsal = DryRunOptions(repeat=repeat, full=full)
        return self.run(UpOptions(to=to, dry_run=True, rehearsal=rehearsal), on_event=on_event)

    def lint(self) -> LintReport:
        """What is wrong with the schema and the migrations; files that cannot be read are findings.

        What the settings' baseline holds is in it. Raises InputError where the settings are wrong.

        Example::

            errors = [finding for finding in project.lint().findings if finding.severity == "error"]
        """
        from confiture.lint.project import LintOptions, lint_project

        return lint_project(self.settings, LintOptions())
