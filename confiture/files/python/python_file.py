"""Migrations written in Python. Each is run once to record its steps, and is then read like equivalent YAML."""

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

from confiture.errors import Diagnostic, DiagnosticCollector, Span
from confiture.files.python.hook_registry import clear_registrations, registered_hook_names, registrations_in
from confiture.files.python.literals import SourceLiterals
from confiture.files.python.modules import UserCodeError, locate_user_errors, run_file
from confiture.files.schema.located_text import LocatedScalar
from confiture.files.schema.reader import PYTHON_VALUE, TAG
from confiture.models.call_sites import CallSite
from confiture.models.migration import HookRegistration, HookStep, Step
from confiture.models.migration_api import Migration, RecordedStep, record_steps
from confiture.models.records import record
from confiture.models.source import SourceFile

_HEADER_FIELDS = ("version", "name", "description", "requires", "vars")
_SEVERAL_HINT = "keep one migration in this file and move the others to separate files"
_MOST_LEVELS = 50


@dataclass(frozen=True, slots=True)
class _YamlMark:
    """A position in a file, like the marks of YAML nodes; all numbers count from 0."""

    index: int
    line: int
    column: int


class PythonFile:
    """A Python file that converts the values passed by its code to located YAML nodes."""

    def __init__(self, file: SourceFile, path: str) -> None:
        self._file = file
        self._path = path
        self._literals = SourceLiterals(file)

    def migration_node(self, migration: type[Migration], recorded_steps: Sequence[RecordedStep]) -> Node:
        """Return the migration as the mapping of an equivalent YAML file."""
        call = self._class_call_site(migration)
        header = [
            self._pair_nodes(name, value, self._attribute_call_site(migration, name, call))
            for name in _HEADER_FIELDS
            if (value := getattr(migration, name))
        ]
        recorded_steps = [
            step if step.call_site.file == self._path else replace(step, call_site=call) for step in recorded_steps
        ]
        phases = dict.fromkeys(step.phase for step in recorded_steps)
        steps = [
            (
                self._scalar_node(phase.value, call),
                self._sequence_node(
                    [self.value_node(s.fields, s.call_site) for s in recorded_steps if s.phase is phase], call
                ),
            )
            for phase in phases
        ]
        return self._mapping_node([*header, *steps], call)

    def class_source(self, hook: type[Any]) -> str:
        """Return a class's source without comments and white space; for a dynamic class, return the whole file."""
        node = self._literals.find_class(hook.__qualname__)
        if node is None:
            return _normalize_code(self._file.text)
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        return _normalize_code(self._literals.lines(first, node.end_lineno or node.lineno))

    def class_span(self, cls_: type[Any]) -> Span:
        """Return the location of a class definition."""
        node = self._literals.find_class(cls_.__qualname__)
        return Span(path=self._file.path, line=node.lineno if node else 1)

    def _class_call_site(self, cls_: type[Any]) -> CallSite:
        line = self.class_span(cls_).line
        return CallSite(file=self._path, line=line, column=0, end_line=line, end_column=0)

    def _attribute_call_site(self, cls_: type[Any], name: str, default: CallSite) -> CallSite:
        value = self._literals.find_attribute(cls_.__qualname__, name)
        if value is None:
            return default
        return CallSite(
            file=self._path,
            line=value.lineno,
            column=value.col_offset,
            end_line=value.end_lineno or value.lineno,
            end_column=value.end_col_offset or value.col_offset,
        )

    def _pair_nodes(self, key: str, value: Any, call: CallSite) -> tuple[Node, Node]:
        return self._scalar_node(key, call), self.value_node(value, call)

    def value_node(self, value: Any, call: CallSite, level: int = 0) -> Node:
        """Convert a value passed to a call to a YAML node. Raise ValueError if the value is nested too deeply."""
        if level > _MOST_LEVELS:
            raise ValueError(f"a value has more than {_MOST_LEVELS} levels or contains itself")
        if isinstance(value, Mapping):
            pairs: list[tuple[Node, Node]] = [
                (self._scalar_node(str(key), call), self.value_node(item, call, level + 1))
                for key, item in value.items()
            ]
            return self._mapping_node(pairs, call)
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return self._sequence_node([self.value_node(item, call, level + 1) for item in value], call)
        return self._scalar_node(value, call)

    def _mapping_node(self, pairs: list[tuple[Node, Node]], call: CallSite) -> Node:
        return MappingNode(f"{TAG}map", pairs, *self._node_marks(call))

    def _sequence_node(self, items: list[Node], call: CallSite) -> Node:
        return SequenceNode(f"{TAG}seq", items, *self._node_marks(call))

    def _scalar_node(self, value: Any, call: CallSite) -> ScalarNode:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, str):
            return LocatedScalar(self._literals.locate_argument(value, call), f"{TAG}str", *self._node_marks(call))
        kind, text = _yaml_tag_and_text(value)
        return ScalarNode(f"{TAG}{kind}", text, *self._node_marks(call))

    def _node_marks(self, call: CallSite) -> tuple[_YamlMark, _YamlMark]:
        start = self._literals.offset(call.line, call.column)
        line, column = self._literals.line_and_column(start)
        mark = _YamlMark(start, line - 1, column - 1)
        # an empty node would count as a missing value
        return mark, replace(mark, index=start + 1)


@record(frozen=True, kw_only=True, slots=True)
class RecordedMigration:
    """The result of running a migration file.

    `node` is the mapping of an equivalent YAML migration. `hooks` contains the hooks that the file registered, by name;
    `sources` contains the source code of the hook classes.
    """

    node: Node
    hooks: Mapping[str, HookRegistration]
    sources: Mapping[str, str]


def run_migration(file: SourceFile, path: Path, root: Path, problems: DiagnosticCollector) -> RecordedMigration | None:
    """Run a migration file. Errors are added to `problems`; return None if the file contains no migration."""
    clear_registrations(str(path))
    before = registered_hook_names()
    try:
        module = run_file(file, path, root)
        python_file = PythonFile(file, str(path))
        migration = _find_single_migration(module, python_file, file)
        with locate_user_errors(file, path):
            steps = record_steps(migration())
            run = _build_recorded_migration(python_file, migration, steps, str(path))
    except UserCodeError as failure:
        problems.add(failure.diagnostic)
        return None
    stray = sorted(name for registering, name in registered_hook_names() - before if registering != str(path))
    if stray:
        problems.add(_wrong_count_diagnostic(python_file, migration, file, stray))
    return run


def record_migration(migration: Migration, file: SourceFile, path: str) -> RecordedMigration:
    """Record the steps of a migration object; the file at `path` defines the migration's class.

    Raise UserCodeError.
    """
    python_file = PythonFile(file, path)
    with locate_user_errors(file, Path(path)):
        return _build_recorded_migration(python_file, type(migration), record_steps(migration), path)


def _build_recorded_migration(
    read: PythonFile, migration: type[Migration], recorded: Sequence[RecordedStep], path: str
) -> RecordedMigration:
    own = registrations_in(path)
    return RecordedMigration(
        node=read.migration_node(migration, [*recorded, *_phase_hook_steps(own, recorded)]),
        hooks={hook.name: hook for hook in own},
        sources={hook.name: read.class_source(hook.hook) for hook in own},
    )


def attach_hook(step: Step, recorded: RecordedMigration) -> Step:
    """Return the step, with its hook if the file registers the hook that the step names."""
    if not isinstance(step, HookStep) or step.reference.text not in recorded.hooks:
        return step
    name = step.reference.text
    return replace(step, registration=recorded.hooks[name], source=recorded.sources[name])


def _phase_hook_steps(
    registrations: Sequence[HookRegistration], recorded: Sequence[RecordedStep]
) -> list[RecordedStep]:
    """Return steps for the hooks that have a phase and that no step names."""
    named_hooks = {step.fields.get("hook") for step in recorded}
    return [
        RecordedStep(phase=hook.phase, fields={"name": hook.name, "hook": hook.name}, call_site=hook.call_site)
        for hook in registrations
        if hook.phase is not None and hook.name not in named_hooks
    ]


def _find_single_migration(module: ModuleType, read: PythonFile, file: SourceFile) -> type[Migration]:
    """Return the single migration class of a module, ignoring base classes. Raise UserCodeError."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    own = [cls for cls in classes if issubclass(cls, Migration) and cls.__module__ == module.__name__]
    leaves = [cls for cls in dict.fromkeys(own) if not any(cls in other.__mro__[1:] for other in own)]
    if not leaves:
        hint = "write `class Name(Migration)` with up(); to exclude the file, begin its name with _"
        raise UserCodeError(
            file.diagnostic(Span(path=file.path, line=1), "no-migration", "the file contains no migration", hint=hint)
        )
    if len(leaves) > 1:
        names = ", ".join(cls.__name__ for cls in leaves)
        message = f"a file must contain a single migration; found {len(leaves)}: {names}"
        raise UserCodeError(
            file.diagnostic(read.class_span(leaves[1]), "several-migrations", message, hint=_SEVERAL_HINT)
        )
    return leaves[0]


def _wrong_count_diagnostic(
    read: PythonFile, migrations: type[Migration], file: SourceFile, names: Sequence[str]
) -> Diagnostic:
    return file.diagnostic(
        read.class_span(migrations),
        "stray-hook",
        f"a module imported by this file registers {', '.join(map(repr, names))}",
        hint="register the hook here, or add the module to `hooks:` in confiture.yaml to run it for all migrations",
    )


def _yaml_tag_and_text(value: object) -> tuple[str, str]:
    """Return the YAML tag and text for a value; other objects get a tag that YAML does not define."""
    if value is None:
        return "null", "null"
    if isinstance(value, bool):
        return "bool", str(value).lower()
    if isinstance(value, int):
        return "int", str(value)
    if isinstance(value, float | Decimal):
        return "float", str(value)
    return f"{PYTHON_VALUE}{type(value).__name__}", str(value)


def _normalize_code(source: str) -> str:
    """Return Python code without comments and white space; the result is the same for every Python version.

    Newer tokenizers split f-strings, so f-strings are kept as written.
    """
    lines = source.split("\n")
    parts: list[str] = []
    begins: list[tuple[int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_START":
            begins.append(token.start)
        elif name == "FSTRING_END":
            begin = begins.pop()
            if not begins:
                parts.append(_text_between(lines, begin, token.end))
        elif not begins and name not in ("COMMENT", "NL", "ENDMARKER"):
            parts.append(name if name in ("INDENT", "DEDENT", "NEWLINE") else token.string)
    return " ".join(parts)


def _text_between(lines: Sequence[str], begin: tuple[int, int], end: tuple[int, int]) -> str:
    if begin[0] == end[0]:
        return lines[begin[0] - 1][begin[1] : end[1]]
    middle = lines[begin[0] : end[0] - 1]
    return "\n".join([lines[begin[0] - 1][begin[1] :], *middle, lines[end[0] - 1][: end[1]]])
