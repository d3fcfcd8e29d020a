"""Reading text files, and reading YAML files into located nodes."""

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

# the parser treats these characters as line endings but editors do not, so line numbers would differ
_ODD_LINE_END = re.compile("[\r\x85\u2028\u2029]")
_OTHER_YAML = re.compile(r"(?:[ \t]*(?:#.*)?\n|%(?!YAML).*\n)*(?P<directive>%YAML[ \t]+(?!1\.2\b).*)")
# characters that PostgreSQL or UTF-8 cannot represent
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def read_source_file(path: Path, root: Path, within: Sequence[Path] | None) -> SourceFile:
    """Read a UTF-8 file and convert line endings to `\\n`. The file must be below a folder in `within`.

    Raise InputError if the file is missing, unreadable, or not UTF-8.
    """
    display_name = display_path(path, root)
    try:
        return decode_source_file(display_name, read_file(path, display_name, within))
    except FileAccessError as refused:
        raise InputError(refused.diagnostic_at(Span(path=display_name, line=1))) from refused


def decode_source_file(display_name: str, content: bytes) -> SourceFile:
    """Decode a file's content and convert line endings to `\\n`. Raise InputError if the content is not UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the error's position excludes a byte order mark
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
    """Return the root node of a YAML file; None for an empty file. `mask` hides passwords in error excerpts.

    Raise InputError if the text is not valid YAML, or contains several documents or characters that cannot be stored.
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
        message = "not valid YAML: values are nested too deeply"
        raise InputError(file.diagnostic(_file_start(file), "bad-yaml", message, hint="reduce the nesting")) from error
    except TooManyValues as error:
        span = Span(path=file.path, line=error.line + 1)
        message = "the file contains too many values"
        hint = "move the data from YAML to SQL"
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
        message = f"not valid YAML: U+{ord(odd[0]):04X} is a line break only for some parsers"
        hint = f'end lines with \\n or \\r\\n; in a string, write "\\u{ord(odd[0]):04x}" in double quotes'
        raise InputError(file.diagnostic(_span_at(file, odd.start()), "bad-yaml", message, hint=hint))
    other = _OTHER_YAML.match(file.text)
    if other:
        message = f"unsupported YAML version: {other['directive'].strip()}"
        hint = "remove the line; files are read as YAML 1.2"
        raise InputError(file.diagnostic(_span_at(file, other.start("directive")), "bad-yaml", message, hint=hint))


def _check_storable(root: Node | None, file: SourceFile) -> None:
    """Raise InputError for every scalar with an escaped character that no database can store."""
    diagnostics = [
        file.diagnostic(
            Span(path=file.path, line=node.start_mark.line + 1, column=node.start_mark.column + 1),
            "bad-character",
            f"text cannot contain the character U+{ord(match[0]):04X}",
            hint="remove the escape sequence",
        )
        for node in iter_scalars(root)
        if (match := _UNSTORABLE.search(node.value))
    ]
    if diagnostics:
        raise InputError(*diagnostics)


def _file_start(file: SourceFile) -> Span:
    return Span(path=file.path, line=1)


def _span_at(file: SourceFile, offset: int) -> Span:
    before = file.text[:offset]
    return Span(path=file.path, line=before.count("\n") + 1, column=offset - before.rfind("\n"))


def _yaml_hint(problem: str) -> str:
    if "mapping values are not allowed" in problem:
        return 'quote a value that contains ": ", or use a block: `sql: |`'
    if "'\\t'" in problem or "tab" in problem:
        return "indent with spaces"
    if "expected a single document" in problem or "but found another document" in problem:
        return "remove the line `---` in the middle: a file must contain a single document"
    if "cannot start any token" in problem:
        return "quote the value"
    if "undefined alias" in problem:
        return "quote a value that begins with *"
    return "check quotes, brackets and indentation in this line and the line before it"
