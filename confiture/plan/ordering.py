"""The order of migrations: natural order of versions, and what requires what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

from confiture.errors import Diagnostic, InputError, Problems
from confiture.models.migration import Migration

VersionKey = tuple[tuple[int, int, str], ...]


def version_key(version: str) -> VersionKey:
    """Sorts versions as people count: 2 before 10, `2024.9` before `2024.10`."""
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.findall(r"\d+|[^\d._-]+", version)
    )


def ordered(migrations: Sequence[Migration], problems: Problems) -> tuple[Migration, ...]:
    """The migrations in the order in which they run: by version, but never before what they require.

    Reports versions that stand twice, and requirements that are missing or circular.
    """
    by_key: dict[VersionKey, Migration] = {}
    for migration in migrations:
        twin = by_key.setdefault(version_key(migration.version), migration)
        if twin is not migration:
            message = f"the version {migration.version} is taken by {twin.file.path}"
            problems.add(
                migration.file.diagnostic(
                    migration.span, "duplicate-version", message, hint="give one of the two files another version"
                )
            )
    sorter: TopologicalSorter[VersionKey] = TopologicalSorter(dict.fromkeys(by_key, ()))
    for key, migration in by_key.items():
        for requirement in migration.requires:
            required = version_key(requirement.version)
            if required in by_key:
                sorter.add(key, required)
            else:
                problems.add(
                    migration.file.diagnostic(
                        requirement.span,
                        "missing-requirement",
                        f"there is no migration {requirement.version}",
                        hint=_nearest(requirement.version, migrations),
                    )
                )
    return _sorted(sorter, by_key, problems)


def _sorted(
    sorter: TopologicalSorter[VersionKey], by_key: dict[VersionKey, Migration], problems: Problems
) -> tuple[Migration, ...]:
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = [by_key[key] for key in error.args[1]]
        path = " requires ".join(migration.version for migration in reversed(cycle))
        requirement = cycle[0].requires[0] if cycle[0].requires else None
        span = requirement.span if requirement else cycle[0].span
        problems.add(cycle[0].file.diagnostic(span, "circular-requirement", f"migrations require each other: {path}"))
        return ()
    ready: list[VersionKey] = []
    result: list[Migration] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()])
        key = ready.pop(0)
        result.append(by_key[key])
        sorter.done(key)
    return tuple(result)


def find_version(version: str, migrations: Sequence[Migration]) -> int:
    """The position of a version. Raises InputError, with the nearest one, where there is none."""
    for position, migration in enumerate(migrations):
        if version_key(migration.version) == version_key(version):
            return position
    raise InputError(
        Diagnostic(
            code="unknown-version",
            message=f"there is no migration {version}",
            hint=_nearest(version, migrations) or "`confiture migrate status` lists them",
        )
    )


def _nearest(version: str, migrations: Sequence[Migration]) -> str | None:
    names = {migration.version: migration.version for migration in migrations}
    names |= {f"{migration.version}_{migration.name}": migration.version for migration in migrations}
    near = get_close_matches(version, list(names), n=1, cutoff=0.5)
    return f"did you mean {names[near[0]]!r}?" if near else None
