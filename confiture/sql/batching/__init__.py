"""Batched statements: analysis, and checks that they can be split and repeated.

A batch sees only its own rows of the driving table. Therefore, all rows that the query combines (in groups, DISTINCT,
or windows) must be in the same batch.
"""

from confiture.sql.batching.groups import batching_problem
from confiture.sql.batching.replay import replay_problem
from confiture.sql.batching.statement import BatchStatement, read_batch_statement, source_tables

__all__ = ["BatchStatement", "batching_problem", "read_batch_statement", "replay_problem", "source_tables"]
