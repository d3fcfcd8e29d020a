"""Ignore comments: `-- confiture: ignore RULE, RULE -- reason`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from confiture.errors import Span
from confiture.lint.engine.rule import Hit, Rule
from confiture.models.source import Place, Rendered
from confiture.models.values import value
from confiture.sql.tree import ParsedStatement
from confiture.text import did_you_mean

UNUSED, WITHOUT_REASON = "unused_ignore", "ignore_without_reason"
"""The rules that judge the comments themselves."""

_SIGN = "confiture:"
_COMMENT = re.compile(r"--\s*confiture:\s*ignore\b(?P<rules>.*?)(?:--(?P<reason>.*))?$")
_OUTSIDE = re.compile(r"(?:^|(?<=\s))#\s*confiture:\s*ignore\b", re.MULTILINE)


@value(frozen=True, kw_only=True, slots=True)
class Ignore:
    """An ignore comment: where it stands, and the range of the statement that it is for, in places of its file.

    `first` and `last` are None where there is no statement. `outside` is whether it is a comment of the file around the
    SQL, which ignores nothing.
    """

    rules: tuple[str, ...]
    reason: str
    place: Place
    span: Span
    first: Span | None
    last: Span | None
    outside: bool = False

    def covers(self, rule: Rule, span: Span) -> bool:
        """Whether it is meant for a finding of that rule, by any of its names, at that place."""
        if self.first is None or self.last is None or span.path != self.first.path:
            return False
        return self.first <= span <= self.last and not {rule.name, *rule.aliases}.isdisjoint(self.rules)


def has_ignores(rendered: Rendered) -> bool:
    """Whether a text may have ignore comments; false is sure."""
    return _SIGN in rendered.text


def ignores_in(rendered: Rendered, statements: Sequence[ParsedStatement]) -> Iterable[Ignore]:
    """The ignore comments of a text, with the statements that they are for.

    That is the statement around the comment, or the one that ends before it on its line, or the next one.
    """
    if not has_ignores(rendered):
        return
    ordered = sorted(statements, key=lambda statement: statement.offset)
    for offset, match in _comments(rendered.text):
        statement = _meant(rendered.text, offset, ordered)
        yield Ignore(
            rules=tuple(re.findall(r"[^\s,]+", match["rules"])),
            reason=(match["reason"] or "").strip(),
            place=Place(rendered=rendered, offset=offset),
            span=rendered.span(offset),
            first=statement.place.span if statement else None,
            last=rendered.span(max(statement.end - 1, statement.offset)) if statement else None,
        )


def ignores_outside(rendered: Rendered) -> Iterator[Ignore]:
    """The comments of a migration's file, in the way of YAML and Python, that would be ignore comments in its SQL."""
    for match in _OUTSIDE.finditer(rendered.text) if has_ignores(rendered) else ():
        place = Place(rendered=rendered, offset=match.start())
        yield Ignore(rules=(), reason="", place=place, span=place.span, first=None, last=None, outside=True)


def _comments(text: str) -> Iterator[tuple[int, re.Match[str]]]:
    """The ignore comments and where they begin. The scanner tells them from text in quotes."""
    from confiture.sql.grammar import pb, scan_tokens

    encoded = text.encode()
    for token in scan_tokens(text):
        if token.token == pb.Token.SQL_COMMENT:
            match = _COMMENT.match(encoded[token.start : token.end].decode().rstrip())
            if match:
                yield len(encoded[: token.start].decode()), match


def _meant(text: str, offset: int, statements: Sequence[ParsedStatement]) -> ParsedStatement | None:
    around = next((one for one in statements if one.offset <= offset < one.end), None)
    before = [one for one in statements if one.end <= offset and "\n" not in text[one.end : offset]]
    behind = (one for one in statements if one.offset > offset)
    return around or (before[-1] if before else next(behind, None))


def unused_hits(ignore: Ignore, unused: Sequence[str], known: Mapping[str, Rule]) -> Iterator[Hit]:
    """What is wrong with an ignore comment whose rules `unused` found nothing where it stands."""
    if ignore.outside:
        message = "the comment stands outside of the SQL, where nobody heeds it"
        hint = "write it into the SQL itself, before the statement: `-- confiture: ignore RULE -- reason`"
        yield Hit(place=ignore.place, message=message, hint=hint, subject="outside")
    elif not ignore.rules:
        yield Hit(place=ignore.place, message="the comment names no rule", hint="write `-- confiture: ignore RULE`")
    for name in unused:
        if name in known:
            yield Hit(place=ignore.place, message=f"{name} finds nothing here", subject=known[name].stable_name)
            continue
        hint = did_you_mean(name, list(known)) or "`confiture lint --list-rules` shows all"
        yield Hit(place=ignore.place, message=f"there is no rule {name!r}", hint=hint, subject=name)


def unreasoned_hits(ignore: Ignore) -> Iterator[Hit]:
    """What is wrong with an ignore comment that does not say why."""
    if ignore.rules and not ignore.reason:
        names = ", ".join(ignore.rules)
        message = f"the comment does not say why {names} does not matter here"
        yield Hit(place=ignore.place, message=message, subject=names)
