"""Reads text files, and YAML files into nodes that know their place."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.reader import ReaderError

from confiture.errors import Diagnostic, InputError, Span
from confiture.models.source import SourceFile


def shown_path(path: Path, root: Path) -> str:
    """How people are shown a path: relative to the project's root where it lies below it."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return str(path)


def read_source(path: Path, root: Path) -> SourceFile:
    """The file's text, in UTF-8, with line ends as `\\n`.

    Raises InputError where the file is missing, unreadable or not UTF-8.
    """
    shown = shown_path(path, root)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(
            Diagnostic(code="unreadable-file", message=f"cannot read {shown}: {reason}", span=Span(path=shown, line=1))
        ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            Diagnostic(
                code="not-utf-8",
                message=f"byte 0x{content[error.start]:02x} is not UTF-8",
                span=Span(path=shown, line=line, column=error.start - content.rfind(b"\n", 0, error.start)),
                hint="save the file as UTF-8",
            )
        ) from error
    return SourceFile(path=shown, text=text.replace("\r\n", "\n"))


def parse_yaml(file: SourceFile) -> Node | None:
    """The root node of a YAML file, None for an empty one.

    Raises InputError where the text is no YAML, or more than one document.
    """
    parser = YAML(typ="safe", pure=True)
    try:
        node: Node | None = parser.compose(file.text)
        return node
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        span = Span(path=file.path, line=mark.line + 1, column=mark.column + 1) if mark else _start(file)
        context = (str(error.context),) if error.context else ()
        problem = str(error.problem or "cannot be read")
        raise InputError(
            file.diagnostic(span, "bad-yaml", f"not valid YAML: {problem}", detail=context, hint=_hint(problem))
        ) from error
    except ReaderError as error:
        before = file.text[: error.position]
        span = Span(path=file.path, line=before.count("\n") + 1, column=error.position - before.rfind("\n"))
        message = f"not valid YAML: the character {error.character!r} is not allowed"
        raise InputError(file.diagnostic(span, "bad-yaml", message)) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise InputError(file.diagnostic(_start(file), "bad-yaml", f"not valid YAML: {error}")) from error


def _start(file: SourceFile) -> Span:
    return Span(path=file.path, line=1)


def _hint(problem: str) -> str | None:
    if "mapping values are not allowed" in problem:
        return 'put a value that contains ": " in quotes, or use a block: `sql: |`'
    if "'\\t'" in problem or "tab" in problem:
        return "indent with spaces"
    if "expected a single document" in problem or "but found another document" in problem:
        return "a file holds one document: remove the line `---` in its middle"
    if "cannot start any token" in problem:
        return "put the value in quotes"
    return None
