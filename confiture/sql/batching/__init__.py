"""Statements that run in batches: how they are read, whether batches may cut them, whether they can run again.

A batch sees only its own rows of the driving table. So whatever the query puts together (groups, DISTINCT, windows)
must stay within the batch key.
"""

from confiture.sql.batching.groups import batching_problem
from confiture.sql.batching.replay import replay_problem
from confiture.sql.batching.statement import BatchStatement, read_batch_statement, source_tables

__all__ = ["BatchStatement", "batching_problem", "read_batch_statement", "replay_problem", "source_tables"]
