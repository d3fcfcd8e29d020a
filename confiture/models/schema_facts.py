"""The schema of a database as the server describes it: objects, each with comparable facts.

All values are texts from the server, read with an empty search path, so that two databases on servers with the same
major version can be compared without knowledge of the kinds of objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from confiture.models.records import record

POSITION = "position"
"""The fact with a column's number, counted without dropped columns. Column order is not a difference."""
OWNER = "owner"
NOT_NULL_CONSTRAINT = "not null constraint"
"""The fact with the name of a NOT NULL constraint, since PostgreSQL 18."""
INHERITED_FROM = "inherited from"
"""The fact with the object that a part of a partition, or of an inheritance child, comes from."""
OPTION_NAMES = "option names"
OPTION_VALUES = "option values"
"""The fact with a digest of a foreign object's options, which can contain passwords. It is compared, never shown."""
COMMENT = "comment"
SECURITY_LABEL = "security label for "
"""The start of the facts with the labels of a provider."""
PRIVILEGES = "privileges of "
"""The start of the facts with the privileges of a role."""
NOT_READ = "not read"
"""The fact that describes what could not be read about an object."""


@record(frozen=True, kw_only=True, slots=True)
class SchemaObject:
    """A database object.

    `kind` and `identity` are the type and the identity of pg_identify_object: `table column`, `public.w_orders.id`.
    `parent` is the name of the object that this one is a part of, or empty. `facts` are texts by name.
    """

    kind: str
    identity: str
    parent: str = ""
    facts: Mapping[str, str]

    @property
    def name(self) -> str:
        """The unique name, as in `table column public.w_orders.id`."""
        return f"{self.kind} {self.identity}"


@record(frozen=True, kw_only=True, slots=True)
class SchemaFacts:
    """The schema of a database without its data.

    `objects` are all objects by name, except those that belong to extensions, the server, or Confiture.
    `server_version` is the server's version number, as in 180006. `dependencies` are the names of the objects that each
    object depends on, by the object's name; empty unless they were requested.

    Example::

        facts.objects["table column public.w_orders.id"].facts["type"]  # 'bigint'
    """

    objects: Mapping[str, SchemaObject]
    server_version: int
    dependencies: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)

    @property
    def major_version(self) -> int:
        """The server's major version."""
        return self.server_version // 10_000
