"""Applies statements to a catalog, as PostgreSQL would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confiture.models.catalog import PUBLIC, Catalog, Name
from confiture.sql.catalog.altering import alter_table
from confiture.sql.catalog.comments import comment
from confiture.sql.catalog.dropping import drop, drop_owned
from confiture.sql.catalog.functions import alter_function, create_function
from confiture.sql.catalog.indexes import create_index
from confiture.sql.catalog.moving import set_schema
from confiture.sql.catalog.opaque import call, do_block, import_foreign_schema, select
from confiture.sql.catalog.renaming import rename
from confiture.sql.catalog.schemas import create_extension, create_schema, set_variable
from confiture.sql.catalog.security import alter_default_privileges, alter_policy, create_policy, grant
from confiture.sql.catalog.seeding import seed
from confiture.sql.catalog.sequences import alter_sequence, create_sequence
from confiture.sql.catalog.tables import create_foreign_table, create_table, create_table_as
from confiture.sql.catalog.triggers import create_rule, create_statistics, create_trigger
from confiture.sql.catalog.user_types import (
    alter_domain,
    alter_enum,
    create_composite,
    create_domain,
    create_enum,
    create_range,
    define,
)
from confiture.sql.catalog.views import create_view, refresh_view
from confiture.sql.catalog.work import Misfit, Work
from confiture.sql.catalog.writing import insert, truncate, update, write
from confiture.sql.tree import ParsedStatement

__all__ = ["CatalogBuilder", "Misfit"]

_NONE: frozenset[Name] = frozenset()

_HANDLERS: Mapping[str, Callable[[Work, Any], None]] = {
    "alter_default_privileges_stmt": alter_default_privileges,
    "alter_domain_stmt": alter_domain,
    "alter_enum_stmt": alter_enum,
    "alter_function_stmt": alter_function,
    "alter_object_schema_stmt": set_schema,
    "alter_policy_stmt": alter_policy,
    "alter_seq_stmt": alter_sequence,
    "alter_table_stmt": alter_table,
    "call_stmt": call,
    "comment_stmt": comment,
    "copy_stmt": write,
    "composite_type_stmt": create_composite,
    "create_domain_stmt": create_domain,
    "create_enum_stmt": create_enum,
    "create_extension_stmt": create_extension,
    "create_foreign_table_stmt": create_foreign_table,
    "create_function_stmt": create_function,
    "create_policy_stmt": create_policy,
    "create_range_stmt": create_range,
    "create_schema_stmt": create_schema,
    "create_seq_stmt": create_sequence,
    "create_stats_stmt": create_statistics,
    "create_stmt": create_table,
    "create_table_as_stmt": create_table_as,
    "create_trig_stmt": create_trigger,
    "define_stmt": define,
    "delete_stmt": write,
    "do_stmt": do_block,
    "drop_owned_stmt": drop_owned,
    "drop_stmt": drop,
    "grant_stmt": grant,
    "import_foreign_schema_stmt": import_foreign_schema,
    "index_stmt": create_index,
    "insert_stmt": insert,
    "merge_stmt": write,
    "refresh_mat_view_stmt": refresh_view,
    "rename_stmt": rename,
    "rule_stmt": create_rule,
    "select_stmt": select,
    "truncate_stmt": truncate,
    "update_stmt": update,
    "variable_set_stmt": set_variable,
    "view_stmt": create_view,
}


class CatalogBuilder:
    """Builds a catalog statement by statement, from nothing or from what a database holds.

    `catalog` shows what is there at the moment.
    """

    def __init__(self, start: Catalog | None = None) -> None:
        self._work = Work(_apply)
        if start is not None:
            seed(self._work, start)
        self.catalog = self._work.catalog

    @property
    def misfits(self) -> list[Misfit]:
        """What did not fit, in order: made twice, named and not there, or not to be seen."""
        return self._work.misfits

    def apply(self, statement: ParsedStatement) -> frozenset[Name]:
        """Applies a statement, and returns the relations (indexes too) that it made."""
        handler = _HANDLERS.get(statement.kind)
        if handler is None:
            return _NONE
        work = self._work
        work.statement = statement
        if work.created:
            work.created.clear()
        handler(work, statement.node)
        del work.statement  # it would keep the tree of its whole file
        return frozenset(work.created) if work.created else _NONE

    def begin_file(self) -> None:
        """Forgets what lasts for a session: each file begins with the search path of the server."""
        self._work.search_path[:] = [PUBLIC]


def _apply(work: Work, kind: str, node: Any) -> None:
    handler = _HANDLERS.get(kind)
    if handler:
        handler(work, node)
