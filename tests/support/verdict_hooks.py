"""Hooks of generated migrations."""

from __future__ import annotations

from confiture.core import Hook


class Insert(Hook):
    """Write a row."""

    def execute(self, conn, context):
        conn.execute("INSERT INTO w_log VALUES (%s)", (7,))


class Division(Hook):
    """Fail in the database."""

    def execute(self, conn, context):
        conn.execute("SELECT 1 / 0")


class Python(Hook):
    """Fail in Python."""

    def execute(self, conn, context):
        raise ValueError("it cannot be")


class Rows(Hook):
    """Fail if a table does not have the rows that it had at the beginning."""

    def execute(self, conn, context):
        if conn.execute("SELECT count(*) FROM w_parent").scalar() != 30:
            raise ValueError("not 30 rows")


class Table(Hook):
    """Create a table without a primary key."""

    def execute(self, conn, context):
        conn.execute("CREATE TABLE x_hook (id int)")
