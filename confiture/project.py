"""The public API for a project: load, lint, run, and dry-run.

The methods import their dependencies when called, so reading a project does not import a database driver.
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
    """A project: the files as data, and operations on them. `migrations` are in execution order.

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
        """Load the project that contains a folder or a confiture.yaml, for one environment.

        `database` (a URL or conninfo) and `variables` override the settings, like the command-line options. Raise
        InputError with all errors in all files. Undefined variables in templates are reported only by operations that
        need the variables; an applied migration does not need them.

        Example::

            project = Project.load("shop", environment="staging")
            report = project.dry_run(repeat=5)
            print(report.estimated_production_time_ms, report.locked_tables)
        """
        from confiture.files.settings import SettingsOverrides, load_settings

        location = Path(path)
        config = location if location.is_file() else None
        start = location.parent if location.is_file() else location
        overrides = SettingsOverrides(config=config, environment=environment, database=database)
        settings = load_settings(start.absolute(), overrides, os.environ)
        read = load_project(settings, dict(variables or {}), needs_variables=False)
        return cls(settings=read.settings, migrations=read.migrations, ups=read.ups, downs=read.downs)

    def plan(self, direction: Direction = Direction.UP) -> Plan:
        """Return the plan for applying all migrations to an empty database, or for rolling back all migrations.

        Planning does not need a connection. The plan for `Direction.DOWN` omits migrations without `down`. Raise
        InputError if templates use undefined variables.

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
        """Apply pending migrations; with DownOptions, roll back applied ones. `on_event` is called with each event.

        Raise the errors behind the command line's exit codes: InputError, DatabaseUnavailable, LockHeld, Drift,
        HazardsFound, CheckFailed, MigrationFailed, MigrationStopped.

        Example::

            report = project.run(UpOptions(to="014"))
            print(report.rows_affected)
        """
        from confiture.core.commands import DownOptions, UpOptions, down, up
        from confiture.core.db.connection import resolve_database
        from confiture.models.events import Emitter, Notice
        from confiture.models.report_builder import ReportBuilder

        builder = ReportBuilder()
        emit = Emitter(builder, *([on_event] if on_event else []))
        # keeps an embedded server running
        with resolve_database(self.settings, lambda text: emit(Notice(text=text))) as database:
            if isinstance(options, DownOptions):
                down(self, database, options, emit)
            else:
                up(self, database, options or UpOptions(), emit)
        return builder.report

    def dry_run(
        self, *, to: str | None = None, repeat: int = 1, full: bool = False, on_event: Emit | None = None
    ) -> RunReport:
        """Run pending migrations and roll them back, `repeat` times; the report contains the measurements.

        With `full`, run all backfill batches instead of a sample. Raise the same errors as `run`, and InputError in a
        protected environment. To confirm a dry run in a protected environment, call `run` with options.

        Example::

            report = project.dry_run(repeat=5)
            print(report.estimated_range_low_ms, report.estimated_range_high_ms, report.confidence_percent)
        """
        from confiture.core.commands import UpOptions
        from confiture.core.run.context import DryRunOptions

        rehearsal = DryRunOptions(repeat=repeat, full=full)
        return self.run(UpOptions(to=to, dry_run=True, rehearsal=rehearsal), on_event=on_event)

    def lint(self) -> LintReport:
        """Lint the schema and the migrations; unreadable files are findings.

        The report includes findings in the baseline. Raise InputError if the settings contain errors.

        Example::

            errors = [finding for finding in project.lint().findings if finding.severity == "error"]
        """
        from confiture.lint.project import LintOptions, lint_project

        return lint_project(self.settings, LintOptions())
