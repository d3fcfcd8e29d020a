"""How rows flow through a statement, and whether those of one tenant can reach another."""

from confiture.sql.flow.analysis import analyse

__all__ = ["analyse"]
