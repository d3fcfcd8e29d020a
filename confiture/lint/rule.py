"""The public names for writing custom rules: `from confiture.lint.rule import SchemaRule`."""

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
"""The former names of two classes."""

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
