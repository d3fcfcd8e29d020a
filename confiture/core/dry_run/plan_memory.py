"""The memory of sorts and hash tables, as reported by the plans that auto_explain sends for executed queries.

The server reports the plan of each query after its execution; the statement itself runs unchanged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from confiture.core.db.connection import Connection
from confiture.core.db.queries import query
from confiture.models.trace import StatementMemory
from confiture.sql.built_in import is_built_in

PlanNode = Mapping[str, Any]

_KILOBYTE = 1024
_UNITS = {"": _KILOBYTE, "kB": _KILOBYTE, "MB": _KILOBYTE**2, "GB": _KILOBYTE**3, "TB": _KILOBYTE**4, "B": 1}
_SIZE = re.compile(r"(\d+) ?([A-Za-z]*)")
_ORDERED_AGGREGATE = re.compile(r"\(DISTINCT | ORDER BY ")
_FUNCTION_CALL = re.compile(r"(?<![:\w])(?:[\w\"]+\.)?\"?(\w+)\"?\(")
_SYNTAX = frozenset(
    {"bit", "coalesce", "extract", "greatest", "least", "nullif", "numeric", "row", "varchar", "varying"}
)
"""Words before a parenthesis that are not functions."""
_HASHED_SUBPLAN = "hashed SubPlan"
_PLAN = re.compile(r"duration: [\d.]+ ms +plan:\n", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryLimits:
    """The server's built-in values of settings; a plan contains only settings that differ from these values."""

    work_mem_bytes: int
    hash_mem_multiplier: float


def read_default_limits(connection: Connection) -> MemoryLimits:
    """Read the built-in values of the settings that limit sorts and hash tables."""
    values = {row["name"]: row["boot_val"] for row in connection.execute(query("default_limits"))}
    return MemoryLimits(
        work_mem_bytes=_parse_size(values["work_mem"]), hash_mem_multiplier=float(values["hash_mem_multiplier"])
    )


class PlanLog:
    """The memory of the queries since the last statement. Only the query with the highest peak is kept."""

    def __init__(self, defaults: MemoryLimits) -> None:
        self._defaults = defaults
        self._largest: StatementMemory | None = None
        self._has_several = False

    def collect(self, message: str) -> None:
        """Add the plan of a query."""
        header = _PLAN.match(message)
        if header is None:
            return
        memory = read_plan_memory(json.loads(message[header.end() :]), self._defaults)
        self._has_several = self._largest is not None
        if self._largest is None or (memory.peak_bytes or 0) >= (self._largest.peak_bytes or 0):
            self._largest = memory

    def pop(self) -> StatementMemory | None:
        """Return the memory since the last call; None if no plan was reported."""
        largest, has_several = self._largest, self._has_several
        self._largest, self._has_several = None, False
        return replace(largest, is_lower_bound=True) if largest and has_several else largest


def read_plan_memory(plan: Mapping[str, Any], defaults: MemoryLimits) -> StatementMemory:
    """Return the memory of one query: the sums over all its sorts and hash tables, in all processes.

    The sum is the peak, because the executor keeps this memory until the end of the query. A sort that spilled has used
    all of `work_mem`.
    """
    settings = plan.get("Settings", {})
    sort_bytes = _parse_size(settings["work_mem"]) if "work_mem" in settings else defaults.work_mem_bytes
    multiplier = float(settings.get("hash_mem_multiplier", defaults.hash_mem_multiplier))
    reader = _PlanReader(
        sort_bytes=sort_bytes,
        hash_bytes=round(sort_bytes * multiplier),
        leader_takes_part=settings.get("parallel_leader_participation") != "off",
    )
    reader.read(plan["Plan"], 1)
    return StatementMemory(
        peak_bytes=reader.peak_bytes,
        is_lower_bound=reader.is_lower_bound or bool(plan.get("Triggers")),
        limit_bytes=reader.limit_bytes,
        workers=reader.workers,
    )


class _PlanReader:
    """Adds up the memory of the nodes in a plan."""

    def __init__(self, *, sort_bytes: int, hash_bytes: int, leader_takes_part: bool) -> None:
        self._sort_bytes = sort_bytes
        self._hash_bytes = hash_bytes
        self._leader_takes_part = leader_takes_part
        self.peak_bytes = self.limit_bytes = self.workers = 0
        self.is_lower_bound = False

    def read(self, node: PlanNode, processes: int) -> None:
        """Add a node that this many processes execute, and the nodes below it."""
        self.is_lower_bound = self.is_lower_bound or _has_unreported_memory(node, processes)
        measure = _MEASURES.get(node["Node Type"])
        if measure is not None:
            measure(self, node, processes)
        below = processes
        if "Workers Launched" in node:
            launched = node["Workers Launched"]
            self.workers = max(self.workers, launched)
            has_leader = not launched or (self._leader_takes_part and not node.get("Single Copy"))
            below = launched + has_leader
        for child in node.get("Plans", ()):
            self.read(child, below)

    def _add(self, peak_bytes: int, limit_bytes: int) -> None:
        self.peak_bytes += peak_bytes
        self.limit_bytes += limit_bytes

    def add_sort(self, node: PlanNode, processes: int) -> None:
        """Add a sort, which each process does for itself."""
        peaks = [
            self._sort_bytes if part["Sort Space Type"] == "Disk" else part["Sort Space Used"] * _KILOBYTE
            for part in _by_process(node)
            if "Sort Space Type" in part
        ]
        self._add(sum(peaks), self._sort_bytes * processes)

    def add_incremental_sort(self, node: PlanNode, processes: int) -> None:
        """Add an incremental sort, which may keep two sorts at the same time."""
        groups = [
            part[name]
            for part in _by_process(node)
            for name in ("Full-sort Groups", "Pre-sorted Groups")
            if name in part
        ]
        peaks = [
            self._sort_bytes
            if "Sort Space Disk" in group
            else group.get("Sort Space Memory", {}).get("Peak Sort Space Used", 0) * _KILOBYTE
            for group in groups
        ]
        self._add(sum(peaks), self._sort_bytes * processes)

    def add_hash(self, node: PlanNode, processes: int) -> None:
        """Add the hash table of a join. The processes share a parallel one; otherwise each builds its own."""
        copies = 1 if node.get("Parallel Aware") else processes
        self._add(node.get("Peak Memory Usage", 0) * _KILOBYTE * copies, self._hash_bytes * processes)

    def add_hash_by_process(self, node: PlanNode, processes: int) -> None:
        """Add a hash table that each process reports for itself."""
        if node["Node Type"] == "Aggregate" and node.get("Strategy") not in ("Hashed", "Mixed"):
            return
        peak = sum(part.get("Peak Memory Usage", 0) for part in _by_process(node)) * _KILOBYTE
        self._add(peak, self._hash_bytes * processes)


_MEASURES: Mapping[str, Callable[[_PlanReader, PlanNode, int], None]] = {
    "Sort": _PlanReader.add_sort,
    "Incremental Sort": _PlanReader.add_incremental_sort,
    "Hash": _PlanReader.add_hash,
    "Aggregate": _PlanReader.add_hash_by_process,
    "Memoize": _PlanReader.add_hash_by_process,
}


def _by_process(node: PlanNode) -> Iterator[PlanNode]:
    """Yield what the leader and each worker report for a node."""
    yield node
    yield from node.get("Workers", ())


def _has_unreported_memory(node: PlanNode, processes: int) -> bool:
    """Whether a node has sorts or hash tables whose memory PostgreSQL does not report."""
    kind = node["Node Type"]
    if kind == "Recursive Union" or (kind == "SetOp" and node.get("Strategy") == "Hashed"):
        return True
    if kind == "Sort" and node.get("Actual Loops", 0) > processes:
        # Only the last of several executions is reported.
        return True
    if kind == "Aggregate":
        if any("Sort Key" in grouping for grouping in node.get("Grouping Sets", ())):
            return True
        if any(_ORDERED_AGGREGATE.search(expression) for expression in node.get("Output", ())):
            return True
    return any(_HASHED_SUBPLAN in text or _calls_other_function(text) for text in _texts(node))


def _calls_other_function(text: str) -> bool:
    """Whether an expression calls a function that is not built in, and that may run queries."""
    names = {match[1].lower() for match in _FUNCTION_CALL.finditer(text)}
    return any(not is_built_in(name) for name in names - _SYNTAX)


def _texts(node: PlanNode) -> Iterator[str]:
    for value in node.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, str))


def _parse_size(text: str) -> int:
    """Return the bytes of a memory setting; without a unit, the number is in kB."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _UNITS[match[2]]
