"""How rows flow through a statement, and whether those of one tenant can reach another."""

from confiture.sql.flow.analysis import ANALYSED, analyse, analyse_view
from confiture.sql.flow.facts import Facts

__all__ = ["ANALYSED", "Facts", "analyse", "analyse_view"]
