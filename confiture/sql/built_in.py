"""PostgreSQL's built-in functions and casts, from `built_in.json`.

That file also contains the queries that generated it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_AGGREGATES = """
any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist
dense_rank every first_value json_agg json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique
json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict
jsonb_object_agg_unique jsonb_object_agg_unique_strict lag last_value lead max min mode nth_value ntile
percent_rank percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count
regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp string_agg
sum var_pop var_samp variance xmlagg
"""


def is_built_in(name: str) -> bool:
    """Whether PostgreSQL has a function, an aggregate, or a window function with that name."""
    functions = load_built_in_functions()
    return name in functions.volatile or name in functions.not_volatile or name in _AGGREGATES.split()


class BuiltInFunctions(NamedTuple):
    """Functions by name, and binary-coercible casts (source and target type)."""

    volatile: frozenset[str]
    not_volatile: frozenset[str]
    binary_casts: frozenset[tuple[str, str]]


@cache
def load_built_in_functions() -> BuiltInFunctions:
    """Return the functions from all queried server versions.

    A name is volatile if any function with that name is volatile.
    """
    data = json.loads((files("confiture.sql") / "built_in.json").read_text())
    casts = (cast.split(" -> ") for cast in data["binary_casts"])
    return BuiltInFunctions(
        volatile=frozenset(" ".join(data["volatile"]).split()),
        not_volatile=frozenset(" ".join(data["not_volatile"]).split()),
        binary_casts=frozenset((source, target) for source, target in casts),
    )
