"""The privileges on objects, and those that new objects get."""

from __future__ import annotations

from typing import NamedTuple

from confiture.models.catalog import Grant, QualifiedName
from confiture.sql.catalog.issues import IssueLog


class DefaultGrant(NamedTuple):
    """What ALTER DEFAULT PRIVILEGES says of new objects of a kind; `schema` is None for all schemas."""

    schema: str | None
    kind: str
    grantee: str
    privilege: str


class GrantRegistry:
    """The privileges of a catalog under construction, which `all` shares with it."""

    def __init__(self, issues: IssueLog) -> None:
        self._issues = issues
        self.all: set[Grant] = set()
        self.defaults: set[DefaultGrant] = set()
        self._of_object: dict[tuple[str, str], set[Grant]] = {}

    def add(self, grant: Grant) -> None:
        """Adds a privilege."""
        self.all.add(grant)
        self._of_object.setdefault((grant.kind, grant.object), set()).add(grant)

    def grant(self, kind: str, text: str, grantee: str, privilege: str) -> None:
        """Adds a privilege that the present statement gives."""
        place = self._issues.location(-1)
        self.add(Grant(kind=kind, object=text, grantee=grantee, privilege=privilege, location=place))

    def revoke(self, kind: str, text: str, grantee: str, privilege: str) -> None:
        """Takes a privilege away; one on a whole table takes those on its columns along."""
        for one in list(self._of_object.get((kind, text), ())):
            if one.grantee == grantee and (one.privilege == privilege or one.privilege.startswith(f"{privilege} (")):
                self.all.discard(one)
                self._of_object[kind, text].discard(one)

    def move(self, kind: str, old: str, new: str | None) -> None:
        """Privileges follow their object to its new name, or go with it."""
        for one in self._of_object.pop((kind, old), ()):
            self.all.discard(one)
            if new is not None:
                self.grant(kind, new, one.grantee, one.privilege)

    def grant_defaults(self, kind: str, name: QualifiedName, text: str | None = None) -> None:
        """Gives a new object what ALTER DEFAULT PRIVILEGES says."""
        for one in self.defaults:
            if one.kind == kind and one.schema in (None, name.schema):
                self.grant(kind, text or str(name), one.grantee, one.privilege)
