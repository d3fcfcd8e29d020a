"""The order of migrations: by version in natural order, then by requirements."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

from confiture.errors import Diagnostic, DiagnosticCollector, InputError
from confiture.models.migration import MigrationFile
from confiture.text import SuggestionLimit, closest_match

VersionKey = tuple[tuple[int, int, str], ...]
Graph = Mapping[VersionKey, set[VersionKey]]
"""The requirements of each version."""
_LONGEST_NUMBER = 100
"""More digits than any version contains. Python limits the length of integers that it parses."""
_LONGEST_CYCLE = 20
"""The maximum number of migrations shown for a cycle in a message."""


def version_key(version: str) -> VersionKey:
    """Return a key for natural order: 2 before 10, `2024.9` before `2024.10`."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and len(part) <= _LONGEST_NUMBER else (1, 0, part)
        for part in re.findall(r"\d+|[^\d._-]+", version)
    )


def sort_migrations(migrations: Sequence[MigrationFile], problems: DiagnosticCollector) -> tuple[MigrationFile, ...]:
    """Return the migrations in execution order: by version, but after their requirements.

    Report duplicate versions and missing or circular requirements. In these cases, the order is unchanged.
    """
    order_problems = DiagnosticCollector()
    result = _sort_by_requirements(migrations, order_problems)
    problems.extend(order_problems)
    return tuple(migrations) if order_problems else result


def _sort_by_requirements(
    migrations: Sequence[MigrationFile], problems: DiagnosticCollector
) -> tuple[MigrationFile, ...]:
    by_key: dict[VersionKey, MigrationFile] = {}
    for migration in migrations:
        twin = by_key.setdefault(version_key(migration.version), migration)
        if twin is not migration:
            message = f"duplicate version {migration.version}; also in {twin.file.path}"
            problems.add(
                migration.file.diagnostic(
                    migration.span, "duplicate-version", message, hint="change the version of one of the files"
                )
            )
    suggestions = SuggestionLimit()
    graph: dict[VersionKey, set[VersionKey]] = {key: set() for key in by_key}
    for key, migration in by_key.items():
        for requirement in migration.requires:
            required = version_key(requirement.version)
            if required in by_key:
                graph[key].add(required)
            else:
                problems.add(
                    migration.file.diagnostic(
                        requirement.span,
                        "missing-requirement",
                        f"there is no migration {requirement.version}",
                        hint=(suggestions.use_one() and _closest_version(requirement.version, migrations))
                        or "add the migration, or remove the requirement",
                    )
                )
    cycles = [[by_key[key] for key in cycle] for cycle in _cycles(graph)]
    problems.extend(map(_cycle_diagnostic, cycles))
    return () if cycles else _topological_order(graph, by_key)


def _cycles(graph: Graph) -> Iterator[list[VersionKey]]:
    """Yield a cycle for each back edge in a single traversal of the graph.

    Each key in a cycle requires the next, and the first key is repeated at the end. The middle of a long cycle is
    omitted.
    """
    done: set[VersionKey] = set()
    for start in graph:
        if start in done:
            continue
        path, position = [start], {start: 0}
        iterators = [iter(sorted(graph[start]))]
        while path:
            key = next(iterators[-1], None)
            if key is None:
                iterators.pop()
                done.add(path[-1])
                del position[path.pop()]
            elif key in position:
                first = position[key]
                is_long = len(path) - first > _LONGEST_CYCLE
                cycle = [*path[first : first + _LONGEST_CYCLE - 1], path[-1]] if is_long else path[first:]
                yield [*cycle, key]
            elif key not in done:
                position[key] = len(path)
                path.append(key)
                iterators.append(iter(sorted(graph[key])))


def _cycle_diagnostic(cycle: Sequence[MigrationFile]) -> Diagnostic:
    first, second = cycle[0], cycle[1]
    requirement = next(r for r in first.requires if version_key(r.version) == version_key(second.version))
    path = " requires ".join(migration.version for migration in cycle)
    return first.file.diagnostic(
        requirement.span,
        "circular-requirement",
        f"circular requirement: {path}",
        hint="remove one of these requirements",
    )


def _topological_order(graph: Graph, by_key: Mapping[VersionKey, MigrationFile]) -> tuple[MigrationFile, ...]:
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    ready: list[VersionKey] = []
    result: list[MigrationFile] = []
    while sorter.is_active():
        for key in sorter.get_ready():
            heapq.heappush(ready, key)
        key = heapq.heappop(ready)
        result.append(by_key[key])
        sorter.done(key)
    return tuple(result)


def find_version(version: str, migrations: Sequence[MigrationFile]) -> int:
    """Return the position of a version. Raise InputError with the closest match if the version does not exist."""
    for position, migration in enumerate(migrations):
        if version_key(migration.version) == version_key(version):
            return position
    raise InputError(
        Diagnostic(
            code="unknown-version",
            message=f"there is no migration {version}",
            hint=_closest_version(version, migrations) or "run `confiture migrate status` to list the migrations",
        )
    )


def _closest_version(version: str, migrations: Sequence[MigrationFile]) -> str | None:
    names = {migration.version: migration.version for migration in migrations}
    names |= {f"{migration.version}_{migration.name}": migration.version for migration in migrations}
    near = closest_match(version, names)
    return f"did you mean {names[near]!r}?" if near else None
