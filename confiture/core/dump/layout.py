"""Divide a dump into files: one object per file, in an order in which they can be loaded.

The comments, privileges, indexes, constraints, triggers, policies and defaults of an object are in its file, unless
they need an object that comes later. Then they have a file of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from confiture.models.dump import DumpEntry, SchemaDump
from confiture.models.records import record

_SKIPPED = frozenset({"ENCODING", "STDSTRINGS", "SEARCHPATH", "DATABASE", "DATABASE PROPERTIES"})
_UNWRITTEN = frozenset({"SUBSCRIPTION"})
"""Kinds that are not written: a subscription reaches beyond the database, and contains a connection string."""
_ATTACHED = frozenset({"COMMENT", "ACL", "SECURITY LABEL"})
_PARTS = (
    *("FK CONSTRAINT", "POLICY", "TRIGGER", "RULE", "INDEX ATTACH", "TABLE ATTACH", "STATISTICS", "INDEX"),
    *("CHECK CONSTRAINT", "CONSTRAINT", "DEFAULT", "SEQUENCE OWNED BY", "ROW SECURITY"),
)
"""The parts of tables, in the order in which they get files of their own if objects need each other."""
_RELATIONS = frozenset({"TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"})
_INDEXES = frozenset({"INDEX", "CONSTRAINT"})
_CODE = frozenset({"FUNCTION", "AGGREGATE"})
_LAST_FOLDER = "900_privileges_and_events"
_FOLDERS: Mapping[str, str] = {
    "SCHEMA": "010_schemas",
    "EXTENSION": "020_extensions",
    "TYPE": "040_types",
    "SHELL TYPE": "040_types",
    "DOMAIN": "040_types",
    "FUNCTION": "050_functions",
    "PROCEDURE": "050_functions",
    "AGGREGATE": "050_functions",
    "SEQUENCE": "060_sequences",
    "TABLE": "070_tables",
    "FOREIGN TABLE": "070_tables",
    "VIEW": "080_views",
    "MATERIALIZED VIEW": "080_views",
    "PUBLICATION": "095_publications",
    "PUBLICATION TABLES IN SCHEMA": "095_publications",
    "DEFAULT ACL": _LAST_FOLDER,
    "EVENT TRIGGER": _LAST_FOLDER,
}
_OTHER_FOLDER, _PARTS_FOLDER = "030_other_objects", "090_constraints_and_triggers"
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_MAX_NAME_LENGTH = 80
_NUMBER_STEP = 10
_HEAP = "heap"


@record(frozen=True, kw_only=True, slots=True)
class SchemaFile:
    """A file to write. `path` is relative to the schemas folder; `kind` and `name` (with schema) are its object's."""

    path: str
    kind: str
    name: str
    sql: str


@record(frozen=True, kw_only=True, slots=True)
class DumpFiles:
    """The files of a schema in path order, and sentences about what is not in them."""

    files: tuple[SchemaFile, ...]
    notes: tuple[str, ...] = ()


def divide_into_files(dump: SchemaDump) -> DumpFiles:
    """Return the files that create the schema of a dump, in path order, which is also the order to load them."""
    entries = [entry for entry in dump.entries if is_written(entry)]
    owners = _break_cycles(entries, _keep_in_own_folders(entries, _find_owners(entries)))
    groups: dict[int, list[DumpEntry]] = {}
    for entry in entries:
        groups.setdefault(owners[entry.number], []).append(entry)
    positions = {entry.number: position for position, entry in enumerate(entries)}
    order = _sort_groups(groups, owners, positions)
    paths = _choose_paths(order, groups, owners)
    by_number = {entry.number: entry for entry in entries}
    files = sorted(
        (
            SchemaFile(
                path=paths[number],
                kind=by_number[number].kind,
                name=_qualified_name(by_number[number]),
                sql=join_entries(groups[number]),
            )
            for number in order
        ),
        key=lambda file: file.path,
    )
    unwritten = [entry for entry in dump.entries if entry.kind in _UNWRITTEN]
    notes = tuple(
        f"the {entry.kind.lower()} {entry.tag} is not written: it contains a connection string; create it separately"
        for entry in unwritten
    )
    return DumpFiles(files=tuple(files), notes=notes)


def join_entries(entries: Iterable[DumpEntry]) -> str:
    """Return the SQL of entries, separated by blank lines."""
    return "\n".join(_entry_sql(entry) for entry in entries)


def is_written(entry: DumpEntry) -> bool:
    """Whether an entry creates a part of the schema that can be written to a file."""
    if entry.kind in _SKIPPED | _UNWRITTEN or not entry.sql.strip():
        return False
    # the comment of an extension comes from its control file, and only its owner can set it
    return not (entry.kind == "COMMENT" and entry.tag.startswith(("EXTENSION ", "SUBSCRIPTION ")))


def _entry_sql(entry: DumpEntry) -> str:
    sql = entry.sql.strip("\n") + "\n"
    for name, value, is_default in (
        ("default_tablespace", entry.tablespace, not entry.tablespace),
        ("default_table_access_method", entry.access_method, entry.access_method in ("", _HEAP)),
    ):
        if not is_default:
            sql = f"SET {name} = {_quote(value)};\n{sql}RESET {name};\n"
    return sql


def _quote(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _find_owners(entries: Sequence[DumpEntry]) -> dict[int, int]:
    """Return the number of the entry whose file contains each entry."""
    by_number = {entry.number: entry for entry in entries}
    owned_sequences = _find_owned_sequences(entries, by_number)
    partitioned = _find_partitioned(entries, by_number)
    owners: dict[int, int] = {}
    for entry in entries:
        dependencies = [by_number[number] for number in sorted(entry.dependencies) if number in by_number]
        owner = None
        if entry.kind in _ATTACHED:
            owner = _find_described(entry, dependencies)
        elif entry.kind == "PUBLICATION TABLE":
            owner = next((one for one in dependencies if one.kind == "PUBLICATION"), None)
        elif entry.kind in _PARTS:
            owner = _find_relation(entry, dependencies)
            if owner and owner.number in partitioned and entry.kind in _INDEXES:
                owner = None
        elif entry.number in owned_sequences:
            owner = by_number[owned_sequences[entry.number]]
        owners[entry.number] = owner.number if owner else entry.number
    return {number: _follow(number, owners) for number in owners}


def _find_partitioned(entries: Sequence[DumpEntry], by_number: Mapping[int, DumpEntry]) -> set[int]:
    """Return the tables with partitions. Their indexes come after all partitions are attached.

    PostgreSQL would otherwise create an index on each partition that is attached, with the name of a later index.
    """
    return {
        number
        for entry in entries
        if entry.kind == "TABLE ATTACH"
        for number in entry.dependencies
        if number in by_number and by_number[number].kind in _RELATIONS and by_number[number].tag != entry.tag
    }


def _find_owned_sequences(entries: Sequence[DumpEntry], by_number: Mapping[int, DumpEntry]) -> dict[int, int]:
    """Return the table of each sequence that belongs to a column, by number."""
    owned: dict[int, int] = {}
    for entry in entries:
        near = [by_number[number] for number in entry.dependencies if number in by_number]
        tables = [one.number for one in near if one.kind in _RELATIONS]
        if entry.kind == "SEQUENCE OWNED BY" and tables:
            owned |= {one.number: tables[0] for one in near if one.kind == "SEQUENCE"}
        elif entry.kind == "SEQUENCE" and tables:
            owned[entry.number] = tables[0]  # of an identity column
    return owned


def _find_described(entry: DumpEntry, dependencies: Sequence[DumpEntry]) -> DumpEntry | None:
    """Return the object that a comment, privileges or a label belong to: its name ends the tag."""
    matching = [one for one in dependencies if entry.tag.endswith(one.tag) and one.kind not in _ATTACHED]
    relations = [one for one in dependencies if one.kind in _RELATIONS]
    return max(matching, key=lambda one: len(one.tag), default=None) or next(iter(relations or dependencies), None)


def _find_relation(entry: DumpEntry, dependencies: Sequence[DumpEntry]) -> DumpEntry | None:
    """Return the table or view that a part belongs to."""
    if entry.kind in _INDEXES and any(one.kind in _CODE for one in dependencies):
        return None  # PostgreSQL can inline a function, whose body can need any table
    near = [one for one in dependencies if one.kind in _RELATIONS | _INDEXES]
    named = [one for one in near if entry.tag == one.tag or entry.tag.startswith(f"{one.tag} ")]
    best = max(named, key=lambda one: len(one.tag), default=None)
    relations = [one for one in near if one.kind in _RELATIONS]
    return best or (relations[0] if len(relations) == 1 else None)


def _follow(number: int, owners: Mapping[int, int]) -> int:
    seen = set()
    while owners[number] != number and number not in seen:
        seen.add(number)
        number = owners[number]
    return number


def _keep_in_own_folders(entries: Sequence[DumpEntry], owners: Mapping[int, int]) -> dict[int, int]:
    """Give parts files of their own if they need an object from a later folder than their table's."""
    folders: dict[int, str] = {}
    for entry in entries:
        if owners[entry.number] == entry.number:
            needed = (folders.get(owners[number], "") for number in entry.dependencies if number in owners)
            folders[entry.number] = max([_own_folder(entry), *needed])
    detached = [
        entry.number
        for entry in entries
        if owners[entry.number] != entry.number
        and any(
            folders[owners[number]] > folders[owners[entry.number]] for number in entry.dependencies if number in owners
        )
    ]
    return _detach(entries, owners, detached)


def _break_cycles(entries: Sequence[DumpEntry], owners: Mapping[int, int]) -> Mapping[int, int]:
    """Give parts files of their own until no two files need each other."""
    kinds = {entry.number: entry.kind for entry in entries}
    while cycle := _find_cycle(_group_graph(entries, owners)):
        members = [number for number, owner in owners.items() if owner in cycle and owner != number]
        if not members:
            return {number: number for number in owners}  # the order of the dump is still valid
        first = next((kind for kind in _PARTS if any(kinds[number] == kind for number in members)), None)
        detached = [number for number in members if first is None or kinds[number] == first]
        owners = _detach(entries, owners, detached)
    return owners


def _detach(entries: Sequence[DumpEntry], owners: Mapping[int, int], numbers: Collection[int]) -> dict[int, int]:
    """Give entries files of their own, which also contain the comments on them."""
    by_number = {entry.number: entry for entry in entries}
    changed = {**owners, **{number: number for number in numbers}}
    _follow_descriptions(entries, changed, by_number, numbers)
    return changed


def _follow_descriptions(
    entries: Sequence[DumpEntry], owners: dict[int, int], by_number: Mapping[int, DumpEntry], moved: Collection[int]
) -> None:
    """Move the comments of detached parts into the files of the parts."""
    for entry in entries:
        if entry.kind in _ATTACHED:
            dependencies = [by_number[number] for number in sorted(entry.dependencies) if number in by_number]
            described = _find_described(entry, dependencies)
            if described and described.number in moved:
                owners[entry.number] = described.number


def _group_graph(entries: Iterable[DumpEntry], owners: Mapping[int, int]) -> dict[int, set[int]]:
    graph: dict[int, set[int]] = {owner: set() for owner in owners.values()}
    for entry in entries:
        own = owners[entry.number]
        graph[own] |= {owners[number] for number in entry.dependencies if number in owners} - {own}
    return graph


def _find_cycle(graph: Mapping[int, Collection[int]]) -> set[int]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return set(error.args[1])
    return set()


def _sort_groups(
    groups: Mapping[int, Sequence[DumpEntry]], owners: Mapping[int, int], positions: Mapping[int, int]
) -> list[int]:
    """Return the groups so that each comes after those it needs, otherwise in the order of the dump."""
    graph = _group_graph((entry for group in groups.values() for entry in group), owners)
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    order: list[int] = []
    ready: list[tuple[int, int]] = []
    while sorter.is_active():
        for number in sorter.get_ready():
            heappush(ready, (positions[number], number))
        _, number = heappop(ready)
        order.append(number)
        sorter.done(number)
    return order


def _choose_paths(
    order: Sequence[int], groups: Mapping[int, Sequence[DumpEntry]], owners: Mapping[int, int]
) -> dict[int, str]:
    """Return the path of each group: a folder for its kind, or a later one if the group needs an object from there."""
    by_number = {entry.number: entry for group in groups.values() for entry in group}
    graph = _group_graph(by_number.values(), owners)
    folders: dict[int, str] = {}
    for number in order:
        folders[number] = max([_own_folder(by_number[number]), *(folders[needed] for needed in graph[number])])
    paths: dict[int, str] = {}
    sizes: dict[str, int] = {}
    for folder in folders.values():
        sizes[folder] = sizes.get(folder, 0) + 1
    counts: dict[str, int] = {}
    for number in order:
        folder = folders[number]
        counts[folder] = counts.get(folder, 0) + 1
        width = len(str(sizes[folder] * _NUMBER_STEP))
        paths[number] = f"{folder}/{counts[folder] * _NUMBER_STEP:0{width}d}_{_file_name(by_number[number])}.sql"
    return paths


def _own_folder(entry: DumpEntry) -> str:
    is_part = entry.kind in _PARTS or entry.kind in _ATTACHED
    return _FOLDERS.get(entry.kind, _PARTS_FOLDER if is_part else _OTHER_FOLDER)


def _qualified_name(entry: DumpEntry) -> str:
    return f"{entry.schema}.{entry.tag}" if entry.schema else entry.tag


def _file_name(entry: DumpEntry) -> str:
    return _UNSAFE.sub("_", _qualified_name(entry)).strip("_.")[:_MAX_NAME_LENGTH] or entry.kind.lower().replace(
        " ", "_"
    )
