"""The order of schema files by their dependencies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from confiture.errors import Diagnostic
from confiture.models.catalog import PUBLIC
from confiture.models.source import RenderedSql
from confiture.sql.created_objects import ObjectKind, created_objects
from confiture.sql.object_references import referenced_objects
from confiture.sql.parse_tree import ByteOffsets
from confiture.sql.search_paths import path_from_set, path_from_set_config

_KINDS = {ObjectKind.TYPE: (ObjectKind.TYPE, ObjectKind.RELATION)}
"""The kinds of objects that a reference of a kind can mean: a relation is also a type."""


class Dependency(NamedTuple):
    """A file that another one needs because of an object, and the offset of a reference, in characters from 0."""

    file: int
    object: str
    offset: int


class _Name(NamedTuple):
    """A name in a file, with the schemas in which it is searched; none for a name without a schema."""

    kind: ObjectKind
    schema: str | None
    name: str
    path: tuple[str, ...]


class FileDependencies:
    """The dependencies between files, from the objects that their statements create and refer to."""

    def __init__(self) -> None:
        self._files: list[RenderedSql] = []
        self._creators: dict[tuple[ObjectKind, str], dict[str | None, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._references: list[dict[_Name, int]] = []

    def add(self, rendered: RenderedSql, statements: Sequence[Any]) -> None:
        """Add a file with its raw statements, as the parser returns them."""
        number = len(self._files)
        positions = ByteOffsets.from_text(rendered.text)
        references: dict[_Name, int] = {}
        path: tuple[str, ...] = (PUBLIC,)
        for raw in statements:
            kind = raw.stmt.WhichOneof("node")
            node = getattr(raw.stmt, kind)
            path = _path_after(kind, node, path)
            for created in created_objects(kind, node):
                schema = created.schema or next(iter(path), None)
                self._creators[created.kind, created.name][schema].add(number)
                if created.schema is not None:
                    references.setdefault(_Name(ObjectKind.SCHEMA, None, created.schema, ()), raw.stmt_location)
            for reference in referenced_objects(kind, node):
                name = _Name(*reference.object, path)
                if name not in references:
                    offset = reference.location if reference.location >= 0 else raw.stmt_location
                    references[name] = positions.to_characters(offset)
                    if name.schema is not None:
                        references.setdefault(_Name(ObjectKind.SCHEMA, None, name.schema, ()), references[name])
        self._files.append(rendered)
        self._references.append(references)

    def order(self) -> tuple[list[int], list[Diagnostic]]:
        """Return the files' positions in an order in which each file follows those that it needs.

        Apart from that, the files keep their order. Files that need each other are reported, one problem per cycle.
        """
        needs = [self._dependencies(number) for number in range(len(self._files))]
        search = _DepthFirstSearch(needs)
        for number in range(len(needs)):
            search.visit(number)
        return search.order, [self._cycle_problem(cycle) for cycle in search.cycles]

    def _dependencies(self, number: int) -> list[Dependency]:
        """Return the other files that a file needs, in order, each once."""
        found: dict[int, Dependency] = {}
        for name, offset in self._references[number].items():
            for creator in self._find_creators(name, number):
                if creator not in found or offset < found[creator].offset:
                    text = f"{name.schema}.{name.name}" if name.schema else name.name
                    found[creator] = Dependency(creator, text, offset)
        return [found[creator] for creator in sorted(found)]

    def _find_creators(self, name: _Name, number: int) -> set[int]:
        """Return the files that create the object with a name; none if it is built in or the file creates it itself."""
        for kind in _KINDS.get(name.kind, (name.kind,)):
            by_schema = self._creators.get((kind, name.name))
            if by_schema is None:
                continue
            # a name that is in no schema of the path may still be found through the database's own search path
            schemas = [name.schema] if name.schema else [schema for schema in name.path if schema in by_schema][:1]
            creators = set().union(*(by_schema.get(schema, ()) for schema in schemas or by_schema))
            if creators:
                return set() if number in creators else creators
        return set()

    def _cycle_problem(self, cycle: Sequence[tuple[int, Dependency]]) -> Diagnostic:
        first, dependency = cycle[0]
        paths = [self._files[number].source.file.path for number, _ in cycle]
        details = []
        for number, needed in cycle:
            place = self._files[number].span_at(needed.offset)
            details.append(f"{place} needs {needed.object} from {self._files[needed.file].source.file.path}")
        return self._files[first].diagnostic(
            dependency.offset,
            "dependency-cycle",
            f"schema files need each other: {' -> '.join([*paths, paths[0]])}",
            detail=tuple(details),
            hint="move one of these statements to a file of its own, for example a foreign key to an ALTER TABLE",
        )


class _DepthFirstSearch:
    """Visits files after the files that they need. Recursion would be limited by the depth of the stack."""

    def __init__(self, needs: Sequence[Sequence[Dependency]]) -> None:
        self.order: list[int] = []
        self.cycles: list[list[tuple[int, Dependency]]] = []
        self._needs = needs
        self._done: set[int] = set()

    def visit(self, start: int) -> None:
        """Add a file to the order, after those that it needs."""
        if start in self._done:
            return
        path: list[tuple[int, Iterator[Dependency]]] = [(start, iter(self._needs[start]))]
        taken: dict[int, Dependency] = {}
        while path:
            number, rest = path[-1]
            dependency = next(rest, None)
            if dependency is None:
                path.pop()
                self._done.add(number)
                self.order.append(number)
                continue
            taken[number] = dependency
            members = [member for member, _ in path]
            if dependency.file in self._done:
                continue
            if dependency.file in members:
                cycle = members[members.index(dependency.file) :]
                self.cycles.append([(member, taken[member]) for member in cycle])
            else:
                path.append((dependency.file, iter(self._needs[dependency.file])))


def _path_after(kind: str, node: Any, path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the search path after a statement."""
    new = None
    if kind == "variable_set_stmt":
        new = path_from_set(node)
    elif kind == "select_stmt" and len(node.target_list) == 1:
        call = node.target_list[0].res_target.val.func_call
        if call.funcname and call.funcname[-1].string.sval == "set_config":
            new = path_from_set_config(call)
    return path if new is None else tuple(new)
