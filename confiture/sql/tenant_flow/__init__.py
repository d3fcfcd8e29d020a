"""Data flow analysis of statements: whether one tenant's rows can reach another tenant."""

from confiture.sql.tenant_flow.analysis import ANALYZED_KINDS, analyze, analyze_view
from confiture.sql.tenant_flow.facts import TenancyFacts

__all__ = ["ANALYZED_KINDS", "TenancyFacts", "analyze", "analyze_view"]
