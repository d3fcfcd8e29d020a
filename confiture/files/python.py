"""Migrations written in Python: run once to record their steps, then read as the YAML that says the same."""

from __future__ import annotations

import io
import os
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from confiture.errors import Diagnostic, Problems, Span
from confiture.files.literals import Literals
from confiture.files.modules import CodeFailed, failures_at, run_file
from confiture.files.passages import PlacedScalar
from confiture.files.reader import TAG
from confiture.files.registering import forget, registered_in, registered_names
from confiture.models.calls import Call
from confiture.models.migration import AnyStep, HookRegistration, HookStep
from confiture.models.recording import Migration, Recorded, record
from confiture.models.source import SourceFile
from confiture.models.values import value

_HEADER = ("version", "name", "description", "requires", "vars")
_SEVERAL = "keep one in this file, and give each of the others a file of its own"
_MOST_LEVELS = 50


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place in a file as nodes of YAML have it: all count from 0."""

    index: int
    line: int
    column: int


class PythonFile:
    """A Python file: what its code passed on, as nodes that know where it is written."""

    def __init__(self, file: SourceFile, path: str) -> None:
        self._file = file
        self._path = path
        self._literals = Literals(file)

    def node(self, migration: type[Migration], recorded: Sequence[Recorded]) -> Node:
        """The mapping that a YAML file of the same migration would hold."""
        call = self._class_call(migration)
        header = [
            self._pair(name, value, self._attribute_call(migration, name, call))
            for name in _HEADER
            if (value := getattr(migration, name))
        ]
        recorded = [step if step.call.file == self._path else replace(step, call=call) for step in recorded]
        phases = dict.fromkeys(step.phase for step in recorded)
        steps = [
            (
                self._scalar(phase.value, call),
                self._sequence([self.node_of(s.fields, s.call) for s in recorded if s.phase is phase], call),
            )
            for phase in phases
        ]
        return self._mapping([*header, *steps], call)

    def class_source(self, hook: type[Any]) -> str:
        """A class as the file writes it, without comments and white space; of one made otherwise, the whole file."""
        node = self._literals.class_node(hook.__qualname__)
        if node is None:
            return _bare(self._file.text)
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return _bare(self._literals.lines(first, node.end_lineno or node.lineno))

    def class_span(self, of: type[Any]) -> Span:
        """Where a class begins."""
        node = self._literals.class_node(of.__qualname__)
        return Span(path=self._file.path, line=node.lineno if node else 1)

    def _class_call(self, of: type[Any]) -> Call:
        line = self.class_span(of).line
        return Call(file=self._path, line=line, column=0, end_line=line, end_column=0)

    def _attribute_call(self, of: type[Any], name: str, otherwise: Call) -> Call:
        value = self._literals.attribute(of.__qualname__, name)
        if value is None:
            return otherwise
        return Call(
            file=self._path,
            line=value.lineno,
            column=value.col_offset,
            end_line=value.end_lineno or value.lineno,
            end_column=value.end_col_offset or value.col_offset,
        )

    def _pair(self, key: str, value: Any, call: Call) -> tuple[Node, Node]:
        return self._scalar(key, call), self.node_of(value, call)

    def node_of(self, value: Any, call: Call, level: int = 0) -> Node:
        """A value that a call was given, as YAML would have it. Raises ValueError if it is nested too deeply."""
        if level > _MOST_LEVELS:
            raise ValueError(f"a value has more than {_MOST_LEVELS} levels, or holds itself")
        if isinstance(value, Mapping):
            pairs: list[tuple[Node, Node]] = [
                (self._scalar(str(key), call), self.node_of(item, call, level + 1)) for key, item in value.items()
            ]
            return self._mapping(pairs, call)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return self._sequence([self.node_of(item, call, level + 1) for item in value], call)
        return self._scalar(value, call)

    def _mapping(self, pairs: list[tuple[Node, Node]], call: Call) -> Node:
        return MappingNode(f"{TAG}map", pairs, *self._marks(call))

    def _sequence(self, items: list[Node], call: Call) -> Node:
        return SequenceNode(f"{TAG}seq", items, *self._marks(call))

    def _scalar(self, value: Any, call: Call) -> ScalarNode:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str):
            return PlacedScalar(self._literals.placed(value, call), f"{TAG}str", *self._marks(call))
        kind, text = _tagged(value)
        return ScalarNode(f"{TAG}{kind}", text, *self._marks(call))

    def _marks(self, call: Call) -> tuple[_Mark, _Mark]:
        start = self._literals.offset(call.line, call.column)
        line, column = self._literals.place(start)
        mark = _Mark(start, line - 1, column - 1)
        # a node of no length would be taken for one that is left out
        return mark, replace(mark, index=start + 1)


@value(frozen=True, kw_only=True, slots=True)
class Run:
    """What running a migration's file gave: the mapping that a YAML file of the same migration would hold, and the
    hooks that the file registered, each with its class as the file writes it.
    """

    node: Node
    hooks: Mapping[str, HookRegistration]
    sources: Mapping[str, str]


def run_migration(file: SourceFile, path: Path, root: Path, problems: Problems) -> Run | None:
    """Runs a migration's file. What is wrong is added to `problems`; None where there is no migration then."""
    forget(str(path))
    before = registered_names()
    try:
        module = run_file(file, path, root)
        read = PythonFile(file, str(path))
        found = _only_migration(module, read, file)
        with failures_at(file, path):
            recorded = record(found())
            run = _run_of(read, found, recorded, str(path))
    except CodeFailed as failure:
        problems.add(failure.diagnostic)
        return None
    stray = sorted(name for where, name in registered_names() - before if where != str(path))
    if stray:
        problems.add(_stray(read, found, file, stray))
    return run


def record_migration(migration: Migration, file: SourceFile, path: str) -> Run:
    """What a migration records that is there as an object; `file` is that of its class, at `path`.

    Raises CodeFailed.
    """
    read = PythonFile(file, path)
    with failures_at(file, Path(path)):
        return _run_of(read, type(migration), record(migration), path)


def _run_of(read: PythonFile, migration: type[Migration], recorded: Sequence[Recorded], path: str) -> Run:
    own = registered_in(path)
    return Run(
        node=read.node(migration, [*recorded, *_running_by_themselves(own, recorded)]),
        hooks={hook.name: hook for hook in own},
        sources={hook.name: read.class_source(hook.hook) for hook in own},
    )


def with_hooks(step: AnyStep, run: Run) -> AnyStep:
    """The step, with the hook where it names one that the file registers."""
    if not isinstance(step, HookStep) or step.reference.text not in run.hooks:
        return step
    name = step.reference.text
    return replace(step, registration=run.hooks[name], source=run.sources[name])


def _running_by_themselves(own: Sequence[HookRegistration], recorded: Sequence[Recorded]) -> list[Recorded]:
    """The steps of the hooks that have a phase, and that no step names."""
    named = {step.fields.get("hook") for step in recorded}
    return [
        Recorded(phase=hook.phase, fields={"name": hook.name, "hook": hook.name}, call=hook.call)
        for hook in own
        if hook.phase is not None and hook.name not in named
    ]


def _only_migration(module: ModuleType, read: PythonFile, file: SourceFile) -> type[Migration]:
    """The one migration of a module: what it derives others from does not count. Raises CodeFailed."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    found = [one for one in classes if issubclass(one, Migration) and one.__module__ == module.__name__]
    leaves = [one for one in dict.fromkeys(found) if not any(one in other.__mro__[1:] for other in found)]
    if not leaves:
        hint = "write `class Name(Migration)` with up(); begin the name of a file that is no migration with _"
        raise CodeFailed(
            file.diagnostic(Span(path=file.path, line=1), "no-migration", "there is no migration here", hint=hint)
        )
    if len(leaves) > 1:
        names = ", ".join(one.__name__ for one in leaves)
        message = f"a file holds one migration, here are {len(leaves)}: {names}"
        raise CodeFailed(file.diagnostic(read.class_span(leaves[1]), "several-migrations", message, hint=_SEVERAL))
    return leaves[0]


def _stray(read: PythonFile, found: type[Migration], file: SourceFile, names: Sequence[str]) -> Diagnostic:
    return file.diagnostic(
        read.class_span(found),
        "stray-hook",
        f"a module that this file imports registers {', '.join(map(repr, names))}: for which migrations?",
        hint="register it in this file, or name the module under `hooks:` in confiture.yaml: then it runs for all",
    )


def _tagged(value: object) -> tuple[str, str]:
    """A value's YAML type and how YAML writes it; an object of another kind is of none that YAML knows."""
    if value is None:
        return "null", "null"
    if isinstance(value, bool):
        return "bool", str(value).lower()
    if isinstance(value, int):
        return "int", str(value)
    if isinstance(value, float | Decimal):
        return "float", str(value)
    return f"python/{type(value).__name__}", str(value)


def _bare(source: str) -> str:
    """Python code without comments and white space, the same for every version of Python.

    Newer tokenizers cut f-strings in pieces; what stands between an f-string's ends is taken as it is written.
    """
    lines = source.split("\n")
    kept: list[str] = []
    begins: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_START":
            begins.append(token.start)
        elif name == "FSTRING_END":
            begin = begins.pop()
            if not begins:
                kept.append(_between(lines, begin, token.end))
        elif not begins and name not in ("COMMENT", "NL", "ENDMARKER"):
            kept.append(name if name in ("INDENT", "DEDENT", "NEWLINE") else token.string)
    return " ".join(kept)


def _between(lines: Sequence[str], begin: tuple[int, int], end: tuple[int, int]) -> str:
    if begin[0] == end[0]:
        return lines[begin[0] - 1][begin[1] : end[1]]
    middle = lines[begin[0] : end[0] - 1]
    return "\n".join([lines[begin[0] - 1][begin[1] :], *middle, lines[end[0] - 1][: end[1]]])
