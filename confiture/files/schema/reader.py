"""The context for reading a YAML file: node locations, collected errors, and guards against recursive aliases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from confiture.errors import DiagnosticCollector, Span
from confiture.models.source import LocatedSource, NamedFile, SourceFile
from confiture.secrets import HIDDEN
from confiture.text import cut

TAG = "tag:yaml.org,2002:"
PYTHON_VALUE = "python-object/"
"""The beginning of the tag of a Python migration's object that is not text, a number, a list or a mapping."""
_KNOWN_TAGS = {f"{TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge")}
_SECRET = re.compile(r"(://|pass\w{0,20}\s{0,20}[:=]).*", re.IGNORECASE | re.DOTALL)
_MAX_LEVELS = 50
_MAX_NODES = 100_000
"""The maximum number of values in a file after alias expansion. A few lines can expand to billions of values."""


class InvalidValue(Exception):
    """A node cannot be read. The reader has already recorded the reason.

    `partial` is the readable part of a list or a record; otherwise, it is None.
    """

    def __init__(self, partial: Any = None) -> None:
        super().__init__()
        self.partial = partial


class Reader:
    """A YAML file and the errors found in it.

    `open_named` reads a file that this file refers to. Messages never contain the values of `secrets`.
    """

    def __init__(
        self,
        file: SourceFile,
        problems: DiagnosticCollector,
        open_named: Callable[[LocatedSource], NamedFile] | None = None,
        secrets: Iterable[ScalarNode] = (),
    ) -> None:
        self.file = file
        self.problems = problems
        self.open_named = open_named
        self._secrets = {id(node): node for node in secrets}
        self._open_nodes: list[int] = []
        self._node_count = 0

    def span(self, node: Node) -> Span:
        """Return the start of a node; for a missing value, return the end of the key."""
        if is_null(node) and node.start_mark.index == node.end_mark.index:
            return self._missing_value_span(node.start_mark.index)
        return Span(path=self.file.path, line=node.start_mark.line + 1, column=node.start_mark.column + 1)

    def _missing_value_span(self, offset: int) -> Span:
        # the parser's position is the next token, which may be several lines below
        lines = self.file.text[:offset].split("\n")
        while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
            lines.pop()
        return Span(path=self.file.path, line=len(lines), column=len(lines[-1].rstrip()) or 1)

    def report(self, span: Span, code: str, message: str, hint: str) -> InvalidValue:
        """Record an error and its hint. Return the exception to raise if the value cannot be read."""
        self.problems.add(self.file.diagnostic(span, code, message, hint=hint))
        return InvalidValue()

    def report_wrong_type(self, node: Node, expected: str, hint: str | None = None) -> InvalidValue:
        """Record that a node has the wrong type. Return the exception to raise."""
        hint = hint or ("add a value, or remove the key" if is_null(node) else f"write {expected}")
        return self.report(self.span(node), "wrong-type", f"expected {expected}, found {self._describe(node)}", hint)

    def format_value(self, node: Node) -> str:
        """Return the beginning of a value for messages, with secrets hidden."""
        return HIDDEN if id(node) in self._secrets else shorten(node.value)

    def _describe(self, node: Node) -> str:
        """Describe a node: `the number 3`, `a list`."""
        if isinstance(node, MappingNode):
            return "a mapping"
        if isinstance(node, SequenceNode):
            return "a list"
        kind = str(node.tag).removeprefix(TAG)
        if kind == "null":
            return "nothing"
        noun = {"int": "number", "float": "number", "bool": "boolean"}.get(kind)
        return f"the {noun} {self.format_value(node)}" if noun else f"the text {self.format_value(node)!r}"

    def check_tag(self, node: Node) -> None:
        """Raise InvalidValue for a tag that is not a standard YAML tag, or if the file has too many values.

        The method is called once for every node that is read.
        """
        self._node_count += 1
        if self._node_count == _MAX_NODES:
            self.report(
                self.span(node),
                "too-many-values",
                f"the file expands to more than {_MAX_NODES:,} values",
                _FEWER_VALUES_HINT,
            )
        if self._node_count >= _MAX_NODES:
            raise InvalidValue
        if str(node.tag).startswith(f"{TAG}{PYTHON_VALUE}"):
            kind = str(node.tag).removeprefix(f"{TAG}{PYTHON_VALUE}")
            message = f"a Python object of type {kind} cannot be used here"
            raise self.report(self.span(node), "wrong-type", message, _PYTHON_VALUE_HINT)
        if str(node.tag) not in _KNOWN_TAGS:
            raise self.report(self.span(node), "unknown-tag", f"unknown tag {node.tag}", "remove the tag")

    def pairs(self, node: MappingNode) -> list[tuple[ScalarNode, Node]]:
        """Return the keys and values of a mapping. Resolve merge keys and report duplicates."""
        pairs: dict[str, tuple[ScalarNode, Node]] = {}
        merged: list[tuple[ScalarNode, Node]] = []
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.report(self.span(key), "wrong-type", "a key must be text", "write `key: value`")
            elif str(key.tag) not in _KNOWN_TAGS:
                self.report(self.span(key), "unknown-tag", f"unknown tag {key.tag}", "remove the tag")
            elif key.tag == f"{TAG}merge":
                merged += self._merged_pairs(key, value)
            elif key.value in pairs:
                first = self.span(pairs[key.value][0])
                message = f"duplicate key {self.format_value(key)!r}; first on line {first.line}"
                self.report(self.span(key), "duplicate-key", message, "remove one of the keys, or merge their values")
            else:
                pairs[key.value] = (key, value)
        for key, value in merged:
            pairs.setdefault(key.value, (key, value))
        return list(pairs.values())

    def _merged_pairs(self, key: ScalarNode, value: Node) -> list[tuple[ScalarNode, Node]]:
        sources = value.value if isinstance(value, SequenceNode) else [value]
        pairs: list[tuple[ScalarNode, Node]] = []
        for source in sources:
            if not isinstance(source, MappingNode):
                message = f"`<<` merges mappings, not {self._describe(source)}"
                self.report(self.span(key), "wrong-type", message, "write `<<: *name`, with the name of a mapping")
                continue
            try:
                self.check_tag(source)
                with self.cycle_guarded(source, key):
                    pairs += self.pairs(source)
            except InvalidValue:
                continue
        return pairs

    def cycle_guarded(self, node: Node, reported_node: Node | None = None) -> _CycleGuard:
        """Return a context manager that reports a container that contains itself through an alias."""
        return _CycleGuard(self, node, reported_node or node)


_PYTHON_VALUE_HINT = "use text, a number, True, False, None, a list or a dict; name a hook as it is registered"
_FEWER_VALUES_HINT = "move the data from YAML to SQL"


class _CycleGuard:
    def __init__(self, reader: Reader, node: Node, reported_node: Node) -> None:
        self._reader, self._node, self._reported_node = reader, node, reported_node

    def __enter__(self) -> None:
        if id(self._node) in self._reader._open_nodes:
            raise self._reader.report(
                self._reader.span(self._reported_node),
                "alias-loop",
                "an alias refers to a value that contains it",
                "remove the alias",
            )
        if len(self._reader._open_nodes) >= _MAX_LEVELS:
            raise self._reader.report(
                self._reader.span(self._reported_node),
                "nested-too-deeply",
                f"values are nested more than {_MAX_LEVELS} levels deep",
                _FEWER_VALUES_HINT,
            )
        self._reader._open_nodes.append(id(self._node))

    def __exit__(self, *_: object) -> None:
        self._reader._open_nodes.pop()


def shorten(text: str) -> str:
    """Return the beginning of a string for messages, without possible passwords."""
    return cut(_SECRET.sub(r"\1...", text), 40, mark="...")


def is_null(node: Node) -> bool:
    """Whether a node is an explicit null or a missing value."""
    return isinstance(node, ScalarNode) and node.tag == f"{TAG}null"


def is_text(node: Node) -> bool:
    """Whether a node is text. YAML timestamps count as text."""
    return isinstance(node, ScalarNode) and node.tag in (f"{TAG}str", f"{TAG}timestamp")


def has_tag(node: Node, tags: tuple[str, ...]) -> bool:
    return isinstance(node, ScalarNode) and str(node.tag).removeprefix(TAG) in tags


def is_number_or_bool(node: Node) -> bool:
    return has_tag(node, ("int", "float", "bool"))
