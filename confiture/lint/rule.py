"""The names with which users write rules of their own: `from confiture.lint.rule import SchemaRule`."""

from confiture.lint.engine.rule import (
    Claims,
    CommentRule,
    Example,
    Group,
    Hit,
    Option,
    Rule,
    SchemaRule,
    StatementRule,
)

__all__ = ["Claims", "CommentRule", "Example", "Group", "Hit", "Option", "Rule", "SchemaRule", "StatementRule"]
