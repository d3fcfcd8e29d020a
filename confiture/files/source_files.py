"""Reads text files, and YAML files into nodes that know their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError

from confiture.errors import Diagnostic, InputError, Span
from confiture.files.access import FileAccessError, display_path, read_file
from confiture.files.schema.yaml_loader import TooManyValues, compose
from confiture.files.secret_masks import iter_scalars
from confiture.models.source import SourceFile

# the parser takes these for line ends, editors do not: lines would be counted differently
_ODD_LINE_END = re.compile("[\r\x85\u2028\u2029]")
_OTHER_YAML = re.compile(r"(?:[ \t]*(?:#.*)?\n|%(?!YAML).*\n)*(?P<directive>%YAML[ \t]+(?!1\.2\b).*)")
# neither PostgreSQL nor UTF-8 can hold them
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def read_source_file(path: Path, root: Path, within: Sequence[Path] | None) -> SourceFile:
    """The file's text, in UTF-8, with line ends as `\\n`; it must lie below one of the folders `within`.

    Raises InputError if the file is missing, may not be read, or is not UTF-8.
    """
    shown = display_path(path, root)
    try:
        return decode_source_file(shown, read_file(path, shown, within))
    except FileAccessError as refused:
        raise InputError(refused.diagnostic_at(Span(path=shown, line=1))) from refused


def decode_source_file(display_name: str, content: bytes) -> SourceFile:
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
                span=Span(path=display_name, line=before.count("\n") + 1, column=len(before) - before.rfind("\n")),
                hint="save the file as UTF-8",
            )
        ) from error
    return SourceFile(path=display_name, text=text.replace("\r\n", "\n"))


def parse_yaml(file: SourceFile, mask: Callable[[str], str]) -> Node | None:
    """The root node of a YAML file, None for an empty one. `mask` hides passwords in the lines that mistakes show.

    Raises InputError where the text is no YAML, is more than one document, or holds what no text may.
    """
    try:
        return _parse_yaml(file)
    except InputError:
        return _parse_yaml(replace(file, shown_text=mask(file.text)))


def _parse_yaml(file: SourceFile) -> Node | None:
    _check_line_ends(file)
    try:
        node = compose(file.text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        span = Span(path=file.path, line=mark.line + 1, column=mark.column + 1) if mark else _file_start(file)
        context = (str(error.context),) if error.context else ()
        problem = str(error.problem or "cannot be read")
        raise InputError(
            file.diagnostic(span, "bad-yaml", f"not valid YAML: {problem}", detail=context, hint=_yaml_hint(problem))
        ) from error
    except ReaderError as error:
        message = f"not valid YAML: the character U+{ord(file.text[error.position]):04X} is not allowed"
        raise InputError(
            file.diagnostic(_span_at(file, error.position), "bad-yaml", message, hint="remove the character")
        ) from error
    except RecursionError as error:
        message = "not valid YAML: it is nested too deeply"
        raise InputError(
            file.diagnostic(_file_start(file), "bad-yaml", message, hint="a migration needs few levels")
        ) from error
    except TooManyValues as error:
        span = Span(path=file.path, line=error.line + 1)
        message = "the file holds more values than a migration needs"
        hint = "keep data out of YAML: a migration's rows belong into SQL"
        raise InputError(file.diagnostic(span, "too-many-values", message, hint=hint)) from error
    except (YAMLError, ValueError, AssertionError) as error:
        raise InputError(
            file.diagnostic(_file_start(file), "bad-yaml", f"not valid YAML: {error}", hint=_yaml_hint(""))
        ) from error
    if "\\" in file.text:
        _check_storable(node, file)
    return node


def _check_line_ends(file: SourceFile) -> None:
    odd = _ODD_LINE_END.search(file.text)
    if odd:
        message = f"not valid YAML: the character U+{ord(odd[0]):04X} ends a line for some and not for others"
        hint = f'end lines with \\n or \\r\\n; inside text, write "\\u{ord(odd[0]):04x}" in double quotes'
        raise InputError(file.diagnostic(_span_at(file, odd.start()), "bad-yaml", message, hint=hint))
    other = _OTHER_YAML.match(file.text)
    if other:
        message = f"not valid YAML: {other['directive'].strip()} is another YAML"
        hint = "remove the line: files are read as YAML 1.2"
        raise InputError(file.diagnostic(_span_at(file, other.start("directive")), "bad-yaml", message, hint=hint))


def _check_storable(root: Node | None, file: SourceFile) -> None:
    """Raises InputError for every scalar that holds what only an escape can write and no database can store."""
    found = [
        file.diagnostic(
            Span(path=file.path, line=node.start_mark.line + 1, column=node.start_mark.column + 1),
            "bad-character",
            f"text cannot hold the character U+{ord(match[0]):04X}",
            hint="remove the escape that writes it",
        )
        for node in iter_scalars(root)
        if (match := _UNSTORABLE.search(node.value))
    ]
    if found:
        raise InputError(*found)


def _file_start(file: SourceFile) -> Span:
    return Span(path=file.path, line=1)


def _span_at(file: SourceFile, offset: int) -> Span:
    before = file.text[:offset]
    return Span(path=file.path, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


def _yaml_hint(problem: str) -> str:
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
