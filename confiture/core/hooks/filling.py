"""Fills that hooks ask for: planned when the hook asks, run as those of YAML files are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg.pq import TransactionStatus

from confiture.core.database import Connection
from confiture.core.failures import StepFailed
from confiture.errors import Problems
from confiture.files.access import ANYWHERE
from confiture.files.backfills import BACKFILL, backfill_step
from confiture.files.python import PythonFile
from confiture.files.reader import Invalid, Reader
from confiture.files.reading import read_source
from confiture.models.calls import Call
from confiture.models.migration import BackfillStep
from confiture.models.plan import PlannedHook, PlannedStep
from confiture.plan.rendering import RenderContext
from confiture.plan.steps import StepPlanner


def planned_fill(step: PlannedStep, fields: Mapping[str, Any], call: Call, root: Path) -> PlannedStep:
    """The step of a hook, as the batched backfill that the hook asks for in `call`.

    `fields` are the keys of `backfill:`, as YAML has them; `root` is the project's folder. Raises StepFailed, placed in
    the hook's file, for what is wrong with them.
    """
    hook = hook_of(step)
    problems = Problems()
    asked = _read(fields, call, root, problems)
    if asked is not None:
        migration = hook.migration
        context = RenderContext(
            environment=hook.environment,
            version=migration.version,
            name=migration.name,
            variables=hook.variables,
        )
        planned = StepPlanner(context, problems, tenant="").plan(asked, step.phase, step.number)
        problems.extend(planned.missing)
        if not problems:
            return replace(step, rendered=planned.rendered, statements=planned.statements, backfill=planned.backfill)
    first, *others = problems
    raise StepFailed(replace(first, detail=(*first.detail, *(str(other) for other in others))), None)


def hook_of(step: PlannedStep) -> PlannedHook:
    """The hook of a step that has one."""
    if step.hook is None:
        raise ValueError(f"{step.name} is no hook")
    return step.hook


def _read(fields: Mapping[str, Any], call: Call, root: Path, problems: Problems) -> BackfillStep | None:
    path = Path(call.file)
    file = read_source(path, root, ANYWHERE)
    reader = Reader(file, problems)
    try:
        read = BACKFILL.read(PythonFile(file, call.file).node_of(fields, call), reader)
    except Invalid:
        return None
    return backfill_step(read, {"span": read.span})


class ReadOnly:
    """Lets a session only read, for as long as that is on; in whatever transaction is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inside = connection.info.transaction_status is not TransactionStatus.IDLE

    @contextmanager
    def on(self) -> Iterator[None]:
        """Read-only inside."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def off(self) -> Iterator[None]:
        """Within `on`: may write again inside."""
        self._end()
        try:
            yield
        finally:
            self._begin()

    def _begin(self) -> None:
        if self._inside:
            # a transaction that may only read never may write again; what is set inside a savepoint ends with it
            self._execute("SAVEPOINT confiture_hook; SET LOCAL transaction_read_only = on")
        else:
            self._execute("SET default_transaction_read_only = on")

    def _end(self) -> None:
        if self._inside:
            self._execute("ROLLBACK TO SAVEPOINT confiture_hook; RELEASE SAVEPOINT confiture_hook")
        else:
            self._execute("RESET default_transaction_read_only")

    def _execute(self, statements: str) -> None:
        if not self._connection.closed:
            self._connection.execute(statements.encode())
