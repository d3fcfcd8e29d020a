"""Template comments inside quoted SQL text."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.templates import ALL_STATEMENTS, template_location, unrendered_template
from confiture.plan.template_scan import find_comments_in_quotes


def _check(context: StatementContext) -> Iterable[Violation]:
    source = unrendered_template(context)
    if source is None:
        return
    for index in find_comments_in_quotes(source.text):
        yield Violation(
            location=template_location(source, index),
            message="rendering removes this template comment from a quoted string",
        )


RULE = StatementRule(
    name="template_comment_in_text",
    group=Group.DATA,
    severity="warning",
    summary="Quoted SQL text contains a template comment",
    impact="Rendering removes {# ... #} from the text, so the data written differs from the file.",
    fix_hint="write {% raw %}...{% endraw %} around the text, or move the comment out of the quotes",
    kinds=ALL_STATEMENTS,
    check=_check,
    bad=Example(
        before="CREATE TABLE w_mails (id bigint PRIMARY KEY, body text)",
        is_template=True,
        sql=("INSERT INTO w_mails (id, body) VALUES (1, 'a {# note #} in a text')",),
    ),
    good=Example(
        before="CREATE TABLE w_mails (id bigint PRIMARY KEY, body text)",
        is_template=True,
        sql=("INSERT INTO w_mails (id, body) VALUES (1, 'a text') /* note */",),
    ),
)
