"""The names with which users write rules of their own: `from confiture.lint.rule import SchemaRule`."""

from confiture.lint.engine.rule import (
    Example,
    ExpectedEffects,
    Group,
    IgnoreCommentRule,
    Option,
    Rule,
    SchemaRule,
    StatementRule,
    Violation,
)

Claims = ExpectedEffects
Hit = Violation
"""Their former names."""

__all__ = [
    "Claims",
    "Example",
    "ExpectedEffects",
    "Group",
    "Hit",
    "IgnoreCommentRule",
    "Option",
    "Rule",
    "SchemaRule",
    "StatementRule",
    "Violation",
]
