"""Deterministic rendering of templates in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from confiture.errors import Diagnostic
from confiture.models.source import LocatedSource, RenderedSql
from confiture.secrets import HIDDEN, hide_values
from confiture.text import SuggestionLimit, double_quote, single_quote

if TYPE_CHECKING:
    from jinja2 import Template, nodes
    from jinja2.ext import Extension

    from confiture.plan.template_limits import BoundedEnvironment

BUILTINS = "confiture"
"""The name under which templates find the environment, version, name and variables of their migration."""
FORMER_NAMES = frozenset({"environment", "version", "name", "vars"})
"""The built-in names that templates can also use without the prefix, for now; lint reports them."""
MISSING_VALUE_CODES = ("undefined-name", "unset-variable")
"""The codes of errors for undefined names and unset variables in templates."""
_DELIMITERS = ("{{", "{%", "{#")
_MAX_PIECES = 10_000
_CODE = re.compile(r"\{[{%](?:(?![%}]\}).)*", re.DOTALL)
INVALID_LITERAL = "invalid-literal"
_OPENING = re.compile(r"\{[{%#]")
_BRACES_HINT = (
    "check the braces: {{ value }}, {% if ... %}, {# comment #}; to keep braces, write {% raw %}...{% endraw %}, use"
    " ARRAY[...] for an array, or put the SQL into a plain .sql file, which is not rendered"
)
_LITERAL_HINT = (
    "write a list by {{ values | map('literal') | join(', ') }}, and JSON by {{ value | tojson | literal }}; if the"
    " braces are meant literally, write {% raw %}...{% endraw %}, or ARRAY[...] for an array"
)
_PLAIN_NAME = re.compile(r"\{\{ ?[A-Za-z_]\w* ?\}\}")
_MAX_CODE_CHARACTERS = 200_000
_LONG_NUMBER = re.compile(r"(?<!\d)\d[\d_]{3000,}")
_TEMPLATE_NAME = "<template>"
_DIGITS = "for integer string conversion"
"""Part of Python's error message for an integer with too many digits."""
_WORD = re.compile(r"\w+")
_MARK = re.compile("\ue000(\\d+)\ue001")


class TemplateProblem(Exception):
    """A template that cannot be rendered."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(str(diagnostics[0]))
        self.diagnostics = diagnostics


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderContext:
    """The context of a template: variables by name, the environment, and the migration's version and name."""

    environment: str
    version: str
    name: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    unset_variables: Mapping[str, Diagnostic] = field(default_factory=dict)
    """Variables without a value, with the reason."""
    private_values: frozenset[str] = frozenset()
    """Values that messages must not contain."""
    private_names: frozenset[str] = frozenset()
    """Variables whose values, and values derived from them, output must hide."""
    batch: str | None = None
    """The value of `batch` in the statement of a backfill."""
    suggestions: SuggestionLimit = field(default_factory=SuggestionLimit, compare=False, repr=False)
    """The limit of suggestions for unknown names, shared by all templates of a project."""

    def template_variables(self) -> dict[str, Any]:
        """Return everything that a template can name: the variables, `confiture`, and the former built-in names."""
        builtins = {
            "environment": self.environment,
            "version": self.version,
            "name": self.name,
            "vars": self.variables,
        }
        return {
            **self.variables,
            **builtins,
            BUILTINS: builtins,
            **({"batch": self.batch} if self.batch is not None else {}),
        }

    def hide_private_values(self, text: str) -> str:
        """Hide private values in a message."""
        return hide_values(text, self.private_values)


def render_verbatim(source: LocatedSource) -> RenderedSql:
    """Return a text without rendering it."""
    return RenderedSql(text=source.text, source=source)


def render(source: LocatedSource, context: RenderContext) -> RenderedSql:
    """Render a template. Raise TemplateProblem with all errors that can be detected together."""
    if not any(delimiter in source.text for delimiter in _DELIMITERS):
        return render_verbatim(source)
    from confiture.plan.private_results import RECORD, record_private_results

    _check_template_size(source)
    names = context.template_variables()
    environment = template_environment()
    private: set[str] = set()
    with _ErrorTranslation(source, context, private):
        tree = environment.parse(source.text, filename=_TEMPLATE_NAME)
        _check_no_includes(tree, source)
        _check_names_defined(tree, source, context)
        tree = record_private_results(tree, context.private_names)
        text = _compile_template(tree).render({**names, RECORD: private})
    rendered = RenderedSql(text=text, source=source, private_values=frozenset(private))
    if _is_rendered_line_by_line(source.text, text):
        return rendered
    return replace(rendered, line_marks=_find_line_marks(source.text, text, names))


def _is_rendered_line_by_line(template: str, rendered: str) -> bool:
    """Whether each rendered line comes from the same line: no blocks, multi-line expressions or trimming."""
    return (
        not any(sign in template for sign in ("{%", "{#", "{{-", "-}}"))
        and template.count("\n") == rendered.count("\n")
        and all(line.count("{{") == line.count("}}") for line in template.split("\n"))
    )


def evaluate_condition(condition: LocatedSource, context: RenderContext) -> bool:
    """Whether a `when` condition is true. Raise TemplateProblem if it is not a boolean expression."""
    if any(delimiter in condition.text for delimiter in _DELIMITERS):
        raise _template_problem(
            condition,
            0,
            "bad-condition",
            "`when` must be an expression without braces",
            "write it like `when: confiture.environment != 'x'`",
        )
    from confiture.plan.private_results import reads_private_value

    names = context.template_variables()
    environment = template_environment()
    with _ErrorTranslation(condition, context):
        tree = environment.parse("{{ " + condition.text + " }}", filename=_TEMPLATE_NAME)
        _check_names_defined(tree, condition, context)
        value = environment.compile_expression(condition.text, undefined_to_none=False)(names)
    if not isinstance(value, bool):
        hint = "write a comparison, for example `name == 'x'`"
        display_value = HIDDEN if reads_private_value(tree, context.private_names) else repr(value)
        message = f"`when` must be true or false; it is {context.hide_private_values(display_value)}"
        raise _template_problem(condition, 0, "bad-condition", message, hint)
    return value


def find_template_names(text: str) -> frozenset[str]:
    """Return the names that a template uses. `confiture.vars` counts as `vars`, `environment` as the dotted name."""
    from jinja2 import TemplateError, meta, nodes

    if not any(delimiter in text for delimiter in _DELIMITERS):
        return frozenset()
    try:
        tree = template_environment().parse(text)
    except TemplateError:
        return frozenset()
    names = set(meta.find_undeclared_variables(tree))
    for node in tree.find_all(nodes.Getattr):
        if isinstance(node.node, nodes.Name) and node.node.name == BUILTINS:
            names.add("vars" if node.attr == "vars" else f"{BUILTINS}.{node.attr}")
    for item in tree.find_all(nodes.Getitem):
        if isinstance(item.node, nodes.Name) and item.node.name == BUILTINS:
            names.add("vars")  # the key may be computed
    if "environment" in names:
        names.add(f"{BUILTINS}.environment")
    return frozenset(names)


def quote_dotted_name(value: object) -> str:
    """Quote a name for SQL; quote each part of a dotted name."""
    return ".".join(map(double_quote, str(value).split(".")))


def format_literal(value: object) -> str:
    """Return a value (text, number, boolean, null) as an SQL literal. Raise LiteralError for lists and mappings."""
    from confiture.plan.template_sizes import require_scalar

    require_scalar(value)
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    literal = single_quote(str(value))
    # separate the E from a preceding name
    return f" {literal}" if literal.startswith("E") else literal


def _to_json(value: object) -> float:
    """Return a decimal number of a YAML file as one that `tojson` can write. Raise ValueError if its digits change."""
    if not isinstance(value, Decimal):
        raise TypeError(f"tojson cannot write a value of type {type(value).__name__}")
    number = float(value)
    if Decimal(repr(number)) != value:
        raise ValueError("tojson cannot write a number with so many digits exactly: quote the number")
    return number


def _compile_template(tree: nodes.Template) -> Template:
    environment = template_environment()
    return environment.template_class.from_code(environment, environment.compile(tree), environment.globals)


@cache
def template_environment() -> BoundedEnvironment:
    """Return the environment in which all templates are parsed and rendered."""
    from jinja2 import StrictUndefined

    from confiture.plan.private_results import RECORD, record_result
    from confiture.plan.template_limits import BoundedEnvironment

    environment = BoundedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": _to_json}
    environment.filters[RECORD] = record_result
    environment.add_filter("ident", quote_dotted_name)
    environment.add_filter("literal", format_literal)
    # nondeterministic functions are not allowed in a plan
    del environment.filters["random"]
    del environment.globals["lipsum"]
    return environment


class _ErrorTranslation:
    """Convert errors of the template engine to a located TemplateProblem."""

    def __init__(self, source: LocatedSource, context: RenderContext, private_results: Set[str] = frozenset()) -> None:
        self._source = source
        self._context = context
        self._private_results = private_results

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: Any) -> None:
        from jinja2 import TemplateSyntaxError
        from jinja2.exceptions import SecurityError, UndefinedError

        from confiture.plan.template_sizes import LimitExceeded, LiteralError, too_many_digits

        if error is None or isinstance(error, TemplateProblem) or not isinstance(error, Exception):
            return
        if isinstance(error, ValueError) and _DIGITS in str(error):
            error = too_many_digits()
        if isinstance(error, TemplateSyntaxError):
            reason = re.sub(r" at \d+$", "", str(error.message))
            line = min(error.lineno - 1, self._source.text.rstrip("\n").count("\n"))
            span = self._source.span_at(line, _find_broken_brace(self._source.text.split("\n")[line]))
            message = f"template: {reason}"
            raise TemplateProblem(
                self._source.file.diagnostic(span, "template-syntax", message, hint=_BRACES_HINT)
            ) from error
        line = _find_template_line(trace)
        reason = hide_values(str(error), self._context.private_values | self._private_results)
        if isinstance(error, UndefinedError):
            attribute = re.search(r"has no attribute '(\w+)'", reason)
            if attribute and attribute[1] in self._context.unset_variables:
                raise TemplateProblem(self._context.unset_variables[attribute[1]]) from error
            hint = "define it, or add a default: {{ x | default(...) }}"
            raise _template_problem(self._source, line, "undefined-name", f"template: {reason}", hint) from error
        if isinstance(error, SecurityError):
            raise _template_problem(
                self._source, line, "forbidden-name", f"template: {reason}", "use only plain values in templates"
            ) from error
        if isinstance(error, LiteralError):
            raise _template_problem(
                self._source, line, INVALID_LITERAL, f"template: {reason}", _LITERAL_HINT
            ) from error
        if isinstance(error, LimitExceeded):
            raise _template_problem(self._source, line, "template-limit", f"template: {reason}", error.hint) from error
        message, hint = f"template: {type(error).__name__}: {reason}", "fix the expression in this line"
        if isinstance(error, RecursionError | SyntaxError | MemoryError):
            message, hint = "template: it is nested too deeply", "split the step, or do the work in SQL"
        raise _template_problem(self._source, line, "template-error", message, hint) from error


def _find_broken_brace(line: str) -> int:
    """The column (from 0) of the expression that does not parse; of the first brace, if it is a block."""
    from jinja2 import TemplateSyntaxError

    starts = [match.start() for match in _OPENING.finditer(line)]
    for start in starts:
        if not line.startswith("{{", start):
            continue
        end = line.find("}}", start)
        try:
            template_environment().parse(line[start : end + 2] if end >= 0 else line[start:])
        except TemplateSyntaxError:
            return start
    return starts[0] if starts else len(line) - len(line.lstrip())


def _template_problem(source: LocatedSource, line: int, code: str, message: str, hint: str) -> TemplateProblem:
    line = min(line, source.text.rstrip("\n").count("\n"))
    text = source.text.split("\n")[line]
    span = source.span_at(line, len(text) - len(text.lstrip()))
    return TemplateProblem(source.file.diagnostic(span, code, message, hint=hint))


def _check_template_size(source: LocatedSource) -> None:
    """Raise TemplateProblem for a template that takes too long to compile."""
    hint = "loop over a variable, or write plain SQL"
    pieces = sum(map(source.text.count, _DELIMITERS))
    # a plain name takes half the time of an expression
    if pieces > _MAX_PIECES and pieces - len(_PLAIN_NAME.findall(source.text)) / 2 > _MAX_PIECES:
        message = f"template: it has more than {_MAX_PIECES:,} expressions and blocks"
        raise _template_problem(source, 0, "template-limit", message, hint)
    if (
        len(source.text) > _MAX_CODE_CHARACTERS
        and sum(len(code[0]) for code in _CODE.finditer(source.text)) > _MAX_CODE_CHARACTERS
    ):
        message = f"template: its expressions and blocks have more than {_MAX_CODE_CHARACTERS:,} characters"
        raise _template_problem(source, 0, "template-limit", message, hint)
    if _LONG_NUMBER.search(source.text):
        _refuse_long_numbers(source)


def _refuse_long_numbers(source: LocatedSource) -> None:
    from confiture.plan.template_sizes import too_many_digits

    for code in _CODE.finditer(source.text):
        if number := _LONG_NUMBER.search(code[0]):
            line = source.text.count("\n", 0, code.start() + number.start())
            error = too_many_digits()
            raise _template_problem(source, line, "template-limit", f"template: {error}", error.hint)


def _find_template_line(trace: Any) -> int:
    """Return the line of the template (from 0) that raised an error, from the frames of the traceback."""
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _TEMPLATE_NAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return max(line - 1, 0)


def _check_no_includes(tree: nodes.Template, source: LocatedSource) -> None:
    """Raise TemplateProblem for a template that includes or imports another template."""
    from jinja2 import nodes

    kinds: tuple[type[nodes.Node], ...] = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
    include = next(tree.find_all(kinds), None)
    if include is not None:
        message, hint = "template: other templates cannot be included", "copy the included text into this template"
        raise _template_problem(source, include.lineno - 1, "forbidden-name", message, hint)


def _check_names_defined(tree: nodes.Template, source: LocatedSource, context: RenderContext) -> None:
    """Raise TemplateProblem with every undefined name, except names that the template tests or gives a default."""
    from jinja2 import meta

    names = context.template_variables()
    optional = set(_names_with_fallback(tree))
    unknown = meta.find_undeclared_variables(tree) - set(names) - set(template_environment().globals) - optional
    diagnostics = []
    for name, (line, column) in sorted(_find_names(tree, source, unknown).items()):
        if name in context.unset_variables:
            diagnostics.append(context.unset_variables[name])
            continue
        hint = context.suggestions.did_you_mean(name, names) or f"define it under `vars:`, or pass --var {name}=..."
        message = f"template: {name!r} is not defined"
        diagnostics.append(source.file.diagnostic(source.span_at(line, column), "undefined-name", message, hint=hint))
    if diagnostics:
        raise TemplateProblem(*diagnostics)


def _names_with_fallback(tree: nodes.Template) -> Iterator[str]:
    from jinja2 import nodes

    for node in tree.find_all((nodes.Test, nodes.Filter)):
        has_fallback = node.name in ("defined", "undefined", "default", "d")
        if has_fallback and isinstance(node.node, nodes.Name):
            yield node.node.name


def _find_names(tree: nodes.Template, source: LocatedSource, names: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return the line and column (both from 0) of the first occurrence of each name."""
    from jinja2 import nodes

    if not names:
        return {}
    lines = source.text.split("\n")
    first: dict[str, int] = {}
    for node in tree.find_all(nodes.Name):
        if node.name in names:
            line = min(node.lineno, len(lines)) - 1
            first[node.name] = min(line, first.get(node.name, line))
    columns = {line: _word_columns(lines[line]) for line in set(first.values())}
    return {name: (first.get(name, 0), columns.get(first.get(name, 0), {}).get(name, 0)) for name in names}


def _word_columns(line: str) -> dict[str, int]:
    """Return the first column of each word of a line, preferably inside braces: the SQL may contain the same word."""
    columns: dict[str, int] = {}
    template_parts = [(code.start(), code[0]) for code in _CODE.finditer(line)]
    for start, text in [*template_parts, (0, line)]:
        for word in _WORD.finditer(text):
            columns.setdefault(word[0], start + word.start())
    return columns


def _find_line_marks(template: str, rendered: str, names: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return which line of the template produced which part of the text, as in `RenderedSql.line_marks`.

    Render the template again with marks in its literal text: at the start of each piece, and after line ends. A filter
    may remove or change marks, so a rendering that differs in anything but the marks is discarded and repeated with
    fewer marks. Without any marks, everything is attributed to line 0.
    """
    from confiture.plan.template_sizes import LimitExceeded

    for at_each_piece in (True, False):
        try:
            marked = (
                template_environment()
                .overlay(extensions=[_marker_extension(at_each_piece)])
                .from_string(template)
                .render(names)
            )
        except LimitExceeded:  # marks lengthen the text
            continue
        if _MARK.sub("", marked) == rendered:
            return tuple(_parse_marks(marked))
    return ()


def _marker_extension(at_each_piece: bool) -> type[Extension]:
    from jinja2.ext import Extension
    from jinja2.lexer import Token, TokenStream

    class Marking(Extension):
        def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
            for token in stream:
                yield Token(token.lineno, token.type, _mark_token(token)) if token.type == "data" else token

    def _mark_token(token: Token) -> str:
        first, *rest = token.value.split("\n")
        start = f"\ue000{token.lineno - 1}\ue001" if at_each_piece else ""
        return start + first + "".join(f"\n\ue000{token.lineno - 1 + n}\ue001{text}" for n, text in enumerate(rest, 1))

    return Marking


def _parse_marks(text: str) -> Iterator[tuple[int, int]]:
    removed = 0
    for mark in _MARK.finditer(text):
        yield mark.start() - removed, int(mark[1])
        removed += len(mark[0])
