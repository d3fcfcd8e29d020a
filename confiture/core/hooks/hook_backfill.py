"""Backfills requested by hooks. They are planned on request and run in the same way as backfills from YAML files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg.pq import TransactionStatus

from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed
from confiture.errors import DiagnosticCollector
from confiture.files.access import ANYWHERE
from confiture.files.backfills import BACKFILL, build_backfill_step
from confiture.files.python.python_file import PythonFile
from confiture.files.schema.reader import InvalidValue, Reader
from confiture.files.source_files import read_source_file
from confiture.models.call_sites import CallSite
from confiture.models.migration import BackfillStep
from confiture.models.plan import PlannedHook, PlannedStep
from confiture.plan.rendering import RenderContext
from confiture.plan.steps import StepPlanner


def plan_hook_backfill(step: PlannedStep, fields: Mapping[str, Any], call: CallSite, root: Path) -> PlannedStep:
    """Return a hook's step as the batched backfill that the hook requests in `call`.

    `fields` are the same keys as under `backfill:` in YAML; `root` is the project directory. If the fields are invalid,
    raise StepFailed, located in the hook's file.
    """
    hook = require_hook(step)
    problems = DiagnosticCollector()
    requested_step = _read_backfill_step(fields, call, root, problems)
    if requested_step is not None:
        migration = hook.migration
        context = RenderContext(
            environment=hook.environment,
            version=migration.version,
            name=migration.name,
            variables=hook.variables,
        )
        planned = StepPlanner(context, problems, tenant_column="").plan(requested_step, step.phase, step.number)
        problems.extend(planned.missing_variables)
        if not problems:
            return replace(step, rendered=planned.rendered, statements=planned.statements, content=planned.backfill)
    first, *others = problems
    raise StepFailed(replace(first, detail=(*first.detail, *(str(other) for other in others))), None)


def require_hook(step: PlannedStep) -> PlannedHook:
    """Return a step's hook. Raise ValueError if the step has no hook."""
    if step.hook is None:
        raise ValueError(f"{step.name} is not a hook")
    return step.hook


def _read_backfill_step(
    fields: Mapping[str, Any], call: CallSite, root: Path, problems: DiagnosticCollector
) -> BackfillStep | None:
    path = Path(call.file)
    file = read_source_file(path, root, ANYWHERE)
    reader = Reader(file, problems)
    try:
        backfill = BACKFILL.read(PythonFile(file, call.file).value_node(fields, call), reader)
    except InvalidValue:
        return None
    return build_backfill_step(backfill, {"span": backfill.span})


class ReadOnlyMode:
    """Read-only mode for a session, inside or outside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._in_transaction = connection.info.transaction_status is not TransactionStatus.IDLE

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """Make the session read-only inside the context."""
        self._enable()
        try:
            yield
        finally:
            self._disable()

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Allow writes inside the context. Must be used within `enabled`."""
        self._disable()
        try:
            yield
        finally:
            self._enable()

    def _enable(self) -> None:
        if self._in_transaction:
            # A read-only transaction cannot become writable again, but a setting made inside a savepoint ends with the
            # savepoint.
            self._execute("SAVEPOINT confiture_hook; SET LOCAL transaction_read_only = on")
        else:
            self._execute("SET default_transaction_read_only = on")

    def _disable(self) -> None:
        if self._in_transaction:
            self._execute("ROLLBACK TO SAVEPOINT confiture_hook; RELEASE SAVEPOINT confiture_hook")
        else:
            self._execute("RESET default_transaction_read_only")

    def _execute(self, statements: str) -> None:
        if not self._connection.closed:
            self._connection.execute(statements.encode())
