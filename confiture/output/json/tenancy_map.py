"""The tenant ownership of tables as JSON."""

from __future__ import annotations

from typing import Any

from confiture.models.tenancy_proofs import TableOwnership, TenancyMap
from confiture.output.json.document import with_schema_version


def tenancy_map_document(tenancy_map: TenancyMap) -> dict[str, Any]:
    """Return the document for `confiture tenancy map --format json`."""
    return with_schema_version("confiture.tenancy") | {
        "source": tenancy_map.source,
        "column": tenancy_map.column,
        "tables": [_table_object(table) for table in tenancy_map.tables],
    }


def _table_object(table: TableOwnership) -> dict[str, Any]:
    return {
        "schema": table.name.schema,
        "name": table.name.name,
        "belonging": table.ownership.value,
        "why": table.reason,
        "column": table.column,
        "path": [
            {
                "table": str(hop.table),
                "columns": list(hop.columns),
                "target": str(hop.target),
                "target_columns": list(hop.target_columns),
            }
            for hop in table.path
        ],
    }
