"""Statements that run in batches: how they are read, whether batches may cut them, whether they can run again.

A batch sees only its own rows of the driving table. So whatever the query puts together (groups, DISTINCT, windows)
must stay within the batch key.
"""

from confiture.sql.batching.groups import cutting_problem
from confiture.sql.batching.replay import repeating_problem
from confiture.sql.batching.statement import Fill, read_fill, tables_read

__all__ = ["Fill", "cutting_problem", "read_fill", "repeating_problem", "tables_read"]
