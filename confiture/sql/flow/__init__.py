"""How rows flow through a statement, and whether those of one tenant can reach another."""

from confiture.sql.flow.analysis import ANALYSED, analyse, analyse_view

__all__ = ["ANALYSED", "analyse", "analyse_view"]
