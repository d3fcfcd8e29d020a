"""The memory of sorts and hash tables in plans as PostgreSQL prints them."""

from __future__ import annotations

from typing import Any

import pytest

from confiture.core.dry_run.plan_memory import MemoryLimits, read_plan_memory

KB = 1024
DEFAULTS = MemoryLimits(work_mem_bytes=4096 * KB, hash_mem_multiplier=2.0)


def node(kind: str, *plans: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"Node Type": kind, "Plans": list(plans)} | {name.replace("_", " "): value for name, value in keys.items()}


def in_memory(used: int) -> dict[str, Any]:
    return {"Sort Space Used": used, "Sort Space Type": "Memory"}


ON_DISK = {"Sort Space Used": 9_000, "Sort Space Type": "Disk"}
SCAN = node("Seq Scan")


@pytest.mark.parametrize(
    ("plan", "peak", "limit"),
    [
        (SCAN, 0, 0),
        (node("Sort", SCAN, **in_memory(25)), 25, 4_096),
        (node("Sort", SCAN, **ON_DISK), 4_096, 4_096),
        (node("Sort", SCAN), 0, 4_096),
        (node("Gather", node("Sort", Workers=[ON_DISK, in_memory(7)]), Workers_Launched=2), 4_103, 3 * 4_096),
        (node("Gather", node("Sort", **in_memory(7)), Workers_Launched=0), 7, 4_096),
        (node("Gather", node("Sort", Workers=[in_memory(7)]), Workers_Launched=1, Single_Copy=True), 7, 4_096),
        (node("Gather", node("Hash", Peak_Memory_Usage=10), Workers_Launched=2), 30, 3 * 8_192),
        (
            node("Gather", node("Hash", Peak_Memory_Usage=10, Parallel_Aware=True), Workers_Launched=2),
            10,
            3 * 8_192,
        ),
        (node("Aggregate", Strategy="Hashed", Peak_Memory_Usage=10, Workers=[{"Peak Memory Usage": 5}]), 15, 8_192),
        (node("Aggregate", Strategy="Plain"), 0, 0),
        (node("Memoize", Peak_Memory_Usage=3), 3, 8_192),
        (
            node(
                "Incremental Sort",
                **{
                    "Full-sort Groups": {"Sort Space Memory": {"Peak Sort Space Used": 27}},
                    "Pre-sorted Groups": {"Sort Space Disk": {"Peak Sort Space Used": 9_000}},
                },
            ),
            4_123,
            4_096,
        ),
        (node("Append", node("Sort", **in_memory(1)), node("Hash", Peak_Memory_Usage=2)), 3, 4_096 + 8_192),
    ],
    ids=str,
)
def test_memory_is_summed_over_nodes_and_processes(plan: dict[str, Any], peak: int, limit: int) -> None:
    memory = read_plan_memory({"Plan": plan}, DEFAULTS)
    assert (memory.peak_bytes, memory.limit_bytes, memory.is_lower_bound) == (peak * KB, limit * KB, False)


def test_the_settings_in_force_are_those_of_the_plan() -> None:
    plan = node("Append", node("Sort", **ON_DISK), node("Hash"))
    settings = {"work_mem": "64MB", "hash_mem_multiplier": "1.5"}
    memory = read_plan_memory({"Plan": plan, "Settings": settings}, DEFAULTS)
    assert (memory.peak_bytes, memory.limit_bytes) == (64 * KB * KB, 160 * KB * KB)


def test_a_leader_that_takes_no_part_has_no_memory() -> None:
    plan = node("Gather", node("Hash", Peak_Memory_Usage=10), Workers_Launched=2)
    memory = read_plan_memory({"Plan": plan, "Settings": {"parallel_leader_participation": "off"}}, DEFAULTS)
    assert (memory.peak_bytes, memory.workers) == (20 * KB, 2)


@pytest.mark.parametrize(
    ("plan", "is_lower_bound"),
    [
        ({"Plan": node("Recursive Union")}, True),
        ({"Plan": node("SetOp", Strategy="Hashed")}, True),
        ({"Plan": node("SetOp", Strategy="Sorted")}, False),
        ({"Plan": node("Aggregate", Strategy="Plain", Output=["count(DISTINCT x)"])}, True),
        ({"Plan": node("Aggregate", Strategy="Plain", Output=["string_agg(x, ','::text ORDER BY x)"])}, True),
        ({"Plan": node("Aggregate", Strategy="Plain", Output=["count(*)", "sum(x)"])}, False),
        ({"Plan": node("Aggregate", Strategy="Sorted", Grouping_Sets=[{"Sort Key": ["x"]}])}, True),
        ({"Plan": node("Seq Scan", Filter="(NOT (hashed SubPlan 1))")}, True),
        ({"Plan": node("Sort", Actual_Loops=3, **in_memory(1))}, True),
        ({"Plan": node("Result", Output=["app.refresh_totals(1)"])}, True),
        ({"Plan": node("Result", Output=['"Weird"(1)'])}, True),
        ({"Plan": node("Result", Output=["lower((x)::character varying(10))", "COALESCE(x, y)"])}, False),
        ({"Plan": node("ModifyTable"), "Triggers": [{"Trigger Name": "t"}]}, True),
    ],
    ids=str,
)
def test_memory_that_is_not_reported_makes_a_lower_bound(plan: dict[str, Any], is_lower_bound: bool) -> None:
    assert read_plan_memory(plan, DEFAULTS).is_lower_bound is is_lower_bound
