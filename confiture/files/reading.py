"""Reads text files, and YAML files into nodes that know their place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import CollectionNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from confiture.errors import Diagnostic, InputError, Span
from confiture.files.access import FileRefused, read_file, shown_path
from confiture.files.composing import TooManyValues, compose
from confiture.models.source import SourceFile

# the parser takes these for line ends, editors do not: lines would be counted differently
_ODD_LINE_END = re.compile("[\r\x85\u2028\u2029]")
_OTHER_YAML = re.compile(r"(?:[ \t]*(?:#.*)?\n|%(?!YAML).*\n)*(?P<directive>%YAML[ \t]+(?!1\.2\b).*)")
# neither PostgreSQL nor UTF-8 can hold them
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def read_source(path: Path, root: Path, within: Sequence[Path] | None) -> SourceFile:
    """The file's text, in UTF-8, with line ends as `\\n`; it must lie below one of the folders `within`.

    Raises InputError if the file is missing, may not be read, or is not UTF-8.
    """
    shown = shown_path(path, root)
    try:
        return source_file(shown, read_file(path, shown, within))
    except FileRefused as refused:
        raise InputError(refused.at(Span(path=shown, line=1))) from refused


def source_file(shown: str, content: bytes) -> SourceFile:
    """The content of a file as text, with line ends as `\\n`. Raises InputError if it is not UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the error counts from behind a byte order mark
        before = error.object[: error.start].decode()
        raise InputError(
            Diagnostic(
                code="not-utf-8",
                message=f"byte 0x{error.object[error.start]:02x} is not UTF-8",
                span=Span(path=shown, line=before.count("\n") + 1, column=len(before) - before.rfind("\n")),
                hint="save the file as UTF-8",
            )
        ) from error
    return SourceFile(path=shown, text=text.replace("\r\n", "\n"))


def parse_yaml(file: SourceFile, shown: SourceFile | None = None) -> Node | None:
    """The root node of a YAML file, None for an empty one. Mistakes are told with the lines of `shown`.

    Raises InputError where the text is no YAML, is more than one document, or holds what no text may.
    """
    shown = shown or file
    _refuse_odd_text(file, shown)
    try:
        node = compose(file.text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        span = Span(path=file.path, line=mark.line + 1, column=mark.column + 1) if mark else _start(file)
        context = (str(error.context),) if error.context else ()
        problem = str(error.problem or "cannot be read")
        raise InputError(
            shown.diagnostic(span, "bad-yaml", f"not valid YAML: {problem}", detail=context, hint=_hint(problem))
        ) from error
    except ReaderError as error:
        message = f"not valid YAML: the character U+{ord(file.text[error.position]):04X} is not allowed"
        raise InputError(
            shown.diagnostic(_at(file, error.position), "bad-yaml", message, hint="remove the character")
        ) from error
    except RecursionError as error:
        message = "not valid YAML: it is nested too deeply"
        raise InputError(
            shown.diagnostic(_start(file), "bad-yaml", message, hint="a migration needs few levels")
        ) from error
    except TooManyValues as error:
        span = Span(path=file.path, line=error.line + 1)
        message = "the file holds more values than a migration needs"
        hint = "keep data out of YAML: a migration's rows belong into SQL"
        raise InputError(shown.diagnostic(span, "too-many-values", message, hint=hint)) from error
    except (YAMLError, ValueError, AssertionError) as error:
        raise InputError(
            shown.diagnostic(_start(file), "bad-yaml", f"not valid YAML: {error}", hint=_hint(""))
        ) from error
    if "\\" in file.text:
        _refuse_no_text(node, shown)
    return node


def _refuse_odd_text(file: SourceFile, shown: SourceFile) -> None:
    odd = _ODD_LINE_END.search(file.text)
    if odd:
        message = f"not valid YAML: the character U+{ord(odd[0]):04X} ends a line for some and not for others"
        hint = f'end lines with \\n or \\r\\n; inside text, write "\\u{ord(odd[0]):04x}" in double quotes'
        raise InputError(shown.diagnostic(_at(file, odd.start()), "bad-yaml", message, hint=hint))
    other = _OTHER_YAML.match(file.text)
    if other:
        message = f"not valid YAML: {other['directive'].strip()} is another YAML"
        hint = "remove the line: files are read as YAML 1.2"
        raise InputError(shown.diagnostic(_at(file, other.start("directive")), "bad-yaml", message, hint=hint))


def _refuse_no_text(root: Node | None, shown: SourceFile) -> None:
    """Raises InputError for every scalar that holds what only an escape can write and no database can store."""
    found = [
        shown.diagnostic(
            Span(path=shown.path, line=node.start_mark.line + 1, column=node.start_mark.column + 1),
            "bad-character",
            f"text cannot hold the character U+{ord(match[0]):04X}",
            hint="remove the escape that writes it",
        )
        for node in _scalars(root)
        if (match := _NO_TEXT.search(node.value))
    ]
    if found:
        raise InputError(*found)


def _scalars(root: Node | None) -> Iterator[ScalarNode]:
    """Every scalar below a node once, however many aliases lead to it, in the order of the file."""
    seen: set[int] = set()
    todo = [root]
    while todo:
        node = todo.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            yield node
        elif isinstance(node, CollectionNode):
            children = [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]
            todo += reversed(children)


def _start(file: SourceFile) -> Span:
    return Span(path=file.path, line=1)


def _at(file: SourceFile, offset: int) -> Span:
    before = file.text[:offset]
    return Span(path=file.path, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


def _hint(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return 'put a value that contains ": " in quotes, or use a block: `sql: |`'
    if "'\\t'" in problem or "tab" in problem:
        return "indent with spaces"
    if "expected a single document" in problem or "but found another document" in problem:
        return "a file holds one document: remove the line `---` in its middle"
    if "cannot start any token" in problem:
        return "put the value in quotes"
    if "undefined alias" in problem:
        return "put a value that begins with * in quotes"
    return "look at this line and the one before it: quotes, brackets, indentation"
