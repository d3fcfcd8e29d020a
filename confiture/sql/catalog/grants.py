"""Object privileges, and the default privileges for new objects."""

from __future__ import annotations

from typing import NamedTuple

from confiture.models.catalog import Grant, QualifiedName
from confiture.sql.catalog.issues import IssueLog


class DefaultGrant(NamedTuple):
    """An entry of ALTER DEFAULT PRIVILEGES for new objects of a kind; `schema` is None for all schemas."""

    schema: str | None
    kind: str
    grantee: str
    privilege: str


class GrantRegistry:
    """The privileges in a catalog under construction, which shares `all`."""

    def __init__(self, issues: IssueLog) -> None:
        self._issues = issues
        self.all: set[Grant] = set()
        self.defaults: set[DefaultGrant] = set()
        self._of_object: dict[tuple[str, str], set[Grant]] = {}

    def add(self, grant: Grant) -> None:
        """Add a privilege."""
        self.all.add(grant)
        self._of_object.setdefault((grant.kind, grant.object), set()).add(grant)

    def grant(self, kind: str, text: str, grantee: str, privilege: str) -> None:
        """Add a privilege that the current statement grants."""
        location = self._issues.location(-1)
        self.add(Grant(kind=kind, object=text, grantee=grantee, privilege=privilege, location=location))

    def revoke(self, kind: str, text: str, grantee: str, privilege: str) -> None:
        """Remove a privilege. Revoking a privilege on a whole table includes its columns."""
        for one in list(self._of_object.get((kind, text), ())):
            if one.grantee == grantee and (one.privilege == privilege or one.privilege.startswith(f"{privilege} (")):
                self.all.discard(one)
                self._of_object[kind, text].discard(one)

    def move(self, kind: str, old: str, new: str | None) -> None:
        """Move privileges to an object's new name, or remove them if `new` is None."""
        for one in self._of_object.pop((kind, old), ()):
            self.all.discard(one)
            if new is not None:
                self.grant(kind, new, one.grantee, one.privilege)

    def grant_defaults(self, kind: str, name: QualifiedName, text: str | None = None) -> None:
        """Grant the default privileges on a new object."""
        for one in self.defaults:
            if one.kind == kind and one.schema in (None, name.schema):
                self.grant(kind, text or str(name), one.grantee, one.privilege)
