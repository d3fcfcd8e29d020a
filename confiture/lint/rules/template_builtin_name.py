"""Templates that use a built-in name without its prefix."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.templates import ALL_STATEMENTS, step_condition, template_location, unrendered_template
from confiture.plan.rendering import FORMER_NAMES
from confiture.plan.template_scan import find_free_names

_OPEN = "{{"


def _check(context: StatementContext) -> Iterable[Violation]:
    source = unrendered_template(context)
    if source is not None:
        for name, index in find_free_names(source.text, FORMER_NAMES):
            yield Violation(
                location=template_location(source, index),
                subject=name,
                message=f"the template inserts the built-in {name}, which no file defines",
            )
    condition = step_condition(context)
    if condition is not None:
        for name, index in find_free_names(f"{_OPEN}{condition.text}}}}}", FORMER_NAMES):
            yield Violation(
                location=template_location(condition, index - len(_OPEN)),
                subject=f"when {name}",
                message=f"`when` uses the built-in {name} without its prefix",
            )


RULE = StatementRule(
    name="template_builtin_name",
    group=Group.DATA,
    severity="warning",
    summary="A template uses a built-in name without the prefix `confiture.`",
    impact="Text that is meant for another template engine, such as an e-mail with {{ name }}, is changed without an"
    " error."
    " The names without the prefix stop working in the next release.",
    fix_hint="if the built-in is meant, write {{ confiture.name }} etc.; otherwise use {% raw %}...{% endraw %} or a"
    " plain .sql file, which is not rendered",
    kinds=ALL_STATEMENTS,
    check=_check,
    bad=Example(
        before="CREATE TABLE w_mails (id bigint PRIMARY KEY, body text)",
        is_template=True,
        sql=("INSERT INTO w_mails (id, body) VALUES (1, 'Dear {{ name }}')",),
    ),
    good=Example(
        before="CREATE TABLE w_mails (id bigint PRIMARY KEY, body text)",
        is_template=True,
        sql=("INSERT INTO w_mails (id, body) VALUES (1, '{% raw %}Dear {{ name }}{% endraw %}')",),
    ),
)
