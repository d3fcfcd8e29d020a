"""The errors for a table that cannot be compared with its defining query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from confiture.core.db.errors import statement_diagnostic
from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep

UNDEFINED_TABLE, UNDEFINED_COLUMN, CANNOT_COERCE = "42P01", "42703", "42846"


class NotComparable(Exception):
    """The table and its query cannot be compared. `sqlstate` is the one that PostgreSQL reported or would report."""

    def __init__(self, diagnostic: Diagnostic, sqlstate: str | None) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic
        self.sqlstate = sqlstate


def not_comparable(
    step: PlannedStep, code: str, message: str, hint: str, *, sqlstate: str | None = None, offset: int | None = None
) -> NotComparable:
    """Return the error located at the step's query; `offset` is a position in the rendered query."""
    position = step.statements[0].offset if offset is None else offset
    return NotComparable(step.rendered.diagnostic(position, code, message, hint=hint), sqlstate)


@contextmanager
def translate_errors(step: PlannedStep, sent_sql: str) -> Iterator[None]:
    """Locate PostgreSQL errors in the step's query, which is part of the text sent to the server."""
    try:
        yield
    except psycopg.Error as error:
        statement = step.statements[0]
        start = sent_sql.find(statement.text)
        position = int(error.diag.statement_position or 0) - 1
        is_internal = start < 0 or not start <= position <= start + len(statement.text)
        # An error in the generated part of the text has no location in the file.
        prefix = len(sent_sql) + 1 if is_internal else start
        raise NotComparable(statement_diagnostic(error, statement, step.rendered, prefix), error.sqlstate) from error
