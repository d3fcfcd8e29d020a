"""Ignore comments: `-- confiture: ignore RULE, RULE -- reason`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from confiture.errors import Span
from confiture.lint.engine.rule import Rule, Violation
from confiture.models.records import record
from confiture.models.source import RenderedSql, SourceLocation
from confiture.sql.parse_tree import ParsedStatement
from confiture.text import did_you_mean

UNUSED, WITHOUT_REASON = "unused_ignore", "ignore_without_reason"
"""The rules that check the comments themselves."""

_SIGN = "confiture:"
_COMMENT = re.compile(r"--\s*confiture:\s*ignore\b(?P<rules>.*?)(?:--(?P<reason>.*))?$")
_FILE_COMMENT = re.compile(r"(?:^|(?<=\s))#\s*confiture:\s*ignore\b", re.MULTILINE)


@record(frozen=True, kw_only=True, slots=True)
class IgnoreComment:
    """An ignore comment, with its location in the file and the range of the statement that it covers.

    `first_span` and `last_span` are None if there is no statement. `is_misplaced` is true for a comment outside the
    SQL, which has no effect.
    """

    rules: tuple[str, ...]
    reason: str
    location: SourceLocation
    span: Span
    first_span: Span | None
    last_span: Span | None
    is_misplaced: bool = False

    def covers(self, rule: Rule, span: Span) -> bool:
        """Whether the comment covers a finding at that position from a rule with any of these names."""
        if self.first_span is None or self.last_span is None or span.path != self.first_span.path:
            return False
        return self.first_span <= span <= self.last_span and not {rule.name, *rule.aliases}.isdisjoint(self.rules)


def has_ignores(rendered: RenderedSql) -> bool:
    """Whether SQL text may contain ignore comments. False is certain; true is not."""
    return _SIGN in rendered.text


def find_ignores(rendered: RenderedSql, statements: Sequence[ParsedStatement]) -> Iterable[IgnoreComment]:
    """Return the ignore comments in SQL text, with the statements that they cover.

    A comment covers the statement around it, else the statement that ends before it on the same line, else the next
    statement.
    """
    if not has_ignores(rendered):
        return
    ordered = sorted(statements, key=lambda statement: statement.offset)
    for offset, match in _scan_comments(rendered.text):
        statement = _find_statement(rendered.text, offset, ordered)
        yield IgnoreComment(
            rules=tuple(re.findall(r"[^\s,]+", match["rules"])),
            reason=(match["reason"] or "").strip(),
            location=SourceLocation(rendered=rendered, offset=offset),
            span=rendered.span_at(offset),
            first_span=statement.location.span if statement else None,
            last_span=rendered.span_at(max(statement.end - 1, statement.offset)) if statement else None,
        )


def misplaced_ignores(rendered: RenderedSql) -> Iterator[IgnoreComment]:
    """Return the YAML and Python comments of a migration file that would be ignore comments in its SQL."""
    for match in _FILE_COMMENT.finditer(rendered.text) if has_ignores(rendered) else ():
        place = SourceLocation(rendered=rendered, offset=match.start())
        yield IgnoreComment(
            rules=(), reason="", location=place, span=place.span, first_span=None, last_span=None, is_misplaced=True
        )


def _scan_comments(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Return the ignore comments with their offsets. The scanner distinguishes comments from quoted text."""
    from confiture.sql.parser import pb, scan_tokens

    encoded = text.encode()
    for token in scan_tokens(text):
        if token.token == pb.Token.SQL_COMMENT:
            match = _COMMENT.match(encoded[token.start : token.end].decode().rstrip())
            if match:
                yield len(encoded[: token.start].decode()), match


def _find_statement(text: str, offset: int, statements: Sequence[ParsedStatement]) -> ParsedStatement | None:
    around = next((one for one in statements if one.offset <= offset < one.end), None)
    before = [one for one in statements if one.end <= offset and "\n" not in text[one.end : offset]]
    after = (one for one in statements if one.offset > offset)
    return around or (before[-1] if before else next(after, None))


def unused_ignores(ignore: IgnoreComment, unused: Sequence[str], rules: Mapping[str, Rule]) -> Iterator[Violation]:
    """Report a misplaced or empty ignore comment, and the `unused` rules that it names."""
    if ignore.is_misplaced:
        message = "the ignore comment is outside the SQL, where it has no effect"
        hint = "move it into the SQL, before the statement: `-- confiture: ignore RULE -- reason`"
        yield Violation(location=ignore.location, message=message, hint=hint, subject="outside")
    elif not ignore.rules:
        yield Violation(
            location=ignore.location,
            message="the ignore comment does not name a rule",
            hint="write `-- confiture: ignore RULE`",
        )
    for name in unused:
        if name in rules:
            yield Violation(
                location=ignore.location, message=f"rule {name} reports nothing here", subject=rules[name].stable_name
            )
            continue
        hint = did_you_mean(name, list(rules)) or "list all rules with `confiture lint --list-rules`"
        yield Violation(location=ignore.location, message=f"rule {name!r} does not exist", hint=hint, subject=name)


def ignores_without_reason(ignore: IgnoreComment) -> Iterator[Violation]:
    """Report an ignore comment without a reason."""
    if ignore.rules and not ignore.reason:
        names = ", ".join(ignore.rules)
        message = f"the ignore comment does not give a reason for {names}"
        yield Violation(location=ignore.location, message=message, subject=names)
