"""The order of migrations: natural order of versions, and what requires what."""

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
"""What each requires."""
_LONGEST_NUMBER = 100
"""No version of a migration is as long; Python does not read numbers of any length."""
_LONGEST_CYCLE = 20
"""How many migrations of a circle a message names."""


def version_key(version: str) -> VersionKey:
    """Sorts versions as people count: 2 before 10, `2024.9` before `2024.10`."""
    return tuple(
        (0, int(part), "") if part.isdecimal() and len(part) <= _LONGEST_NUMBER else (1, 0, part)
        for part in re.findall(r"\d+|[^\d._-]+", version)
    )


def sort_migrations(migrations: Sequence[MigrationFile], problems: DiagnosticCollector) -> tuple[MigrationFile, ...]:
    """The migrations in the order in which they run: by version, but never before what they require.

    Reports versions that stand twice, and requirements that are missing or circular; the order is then as given.
    """
    found = DiagnosticCollector()
    result = _sort_by_requirements(migrations, found)
    problems.extend(found)
    return tuple(migrations) if found else result


def _sort_by_requirements(
    migrations: Sequence[MigrationFile], problems: DiagnosticCollector
) -> tuple[MigrationFile, ...]:
    by_key: dict[VersionKey, MigrationFile] = {}
    for migration in migrations:
        twin = by_key.setdefault(version_key(migration.version), migration)
        if twin is not migration:
            message = f"the version {migration.version} is taken by {twin.file.path}"
            problems.add(
                migration.file.diagnostic(
                    migration.span, "duplicate-version", message, hint="give one of the two files another version"
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
                        or "add it, or remove the requirement",
                    )
                )
    cycles = [[by_key[key] for key in cycle] for cycle in _cycles(graph)]
    problems.extend(map(_cycle_diagnostic, cycles))
    return () if cycles else _topological_order(graph, by_key)


def _cycles(graph: Graph) -> Iterator[list[VersionKey]]:
    """Keys of which each requires the next, the first one again at the end: a circle for each requirement that leads
    back, in one walk over the graph. Of a long circle, the middle is left out.
    """
    done: set[VersionKey] = set()
    for start in graph:
        if start in done:
            continue
        path, position = [start], {start: 0}
        left = [iter(sorted(graph[start]))]
        while path:
            key = next(left[-1], None)
            if key is None:
                left.pop()
                done.add(path[-1])
                del position[path.pop()]
            elif key in position:
                first = position[key]
                long = len(path) - first > _LONGEST_CYCLE
                shown = [*path[first : first + _LONGEST_CYCLE - 1], path[-1]] if long else path[first:]
                yield [*shown, key]
            elif key not in done:
                position[key] = len(path)
                path.append(key)
                left.append(iter(sorted(graph[key])))


def _cycle_diagnostic(cycle: Sequence[MigrationFile]) -> Diagnostic:
    first, second = cycle[0], cycle[1]
    requirement = next(r for r in first.requires if version_key(r.version) == version_key(second.version))
    path = " requires ".join(migration.version for migration in cycle)
    return first.file.diagnostic(
        requirement.span,
        "circular-requirement",
        f"migrations require each other: {path}",
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
    """The position of a version. Raises InputError, with the nearest one, where there is none."""
    for position, migration in enumerate(migrations):
        if version_key(migration.version) == version_key(version):
            return position
    raise InputError(
        Diagnostic(
            code="unknown-version",
            message=f"there is no migration {version}",
            hint=_closest_version(version, migrations) or "`confiture migrate status` lists them",
        )
    )


def _closest_version(version: str, migrations: Sequence[MigrationFile]) -> str | None:
    names = {migration.version: migration.version for migration in migrations}
    names |= {f"{migration.version}_{migration.name}": migration.version for migration in migrations}
    near = closest_match(version, names)
    return f"did you mean {names[near]!r}?" if near else None
