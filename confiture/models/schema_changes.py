"""The differences between two schemas as data."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from fnmatch import fnmatchcase

from confiture.errors import Span
from confiture.models.records import record
from confiture.models.schema_facts import OPTION_VALUES


class ChangeAction(StrEnum):
    """The action on an object that turns one schema into the other."""

    CREATE = "create"
    DROP = "drop"
    ALTER = "alter"


@record(frozen=True, kw_only=True, slots=True)
class FactChange:
    """A fact about an object that differs. None stands for a fact that does not apply to the object."""

    fact: str
    before: str | None
    after: str | None

    @property
    def is_shown(self) -> bool:
        """Whether the values may be printed: those of foreign objects' options can be passwords."""
        return self.fact != OPTION_VALUES


@record(frozen=True, kw_only=True, slots=True)
class SchemaChange:
    """An object that differs.

    `kind`, `identity` and `parent` are those of its `SchemaObject`. `facts` are the facts that differ if the object
    exists in both schemas. `location` is the object's definition, if a file contains it.

    Example::

        SchemaChange(
            action=ChangeAction.ALTER,
            kind="table column",
            identity="public.w_orders.id",
            parent="table public.w_orders",
            facts=(FactChange(fact="type", before="integer", after="bigint"),),
        )
    """

    action: ChangeAction
    kind: str
    identity: str
    parent: str = ""
    facts: tuple[FactChange, ...] = ()
    location: Span | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The name of the object in `SchemaFacts.objects`."""
        return f"{self.kind} {self.identity}"


@record(frozen=True, kw_only=True, slots=True)
class IgnoreRule:
    """Differences to leave out. `kind`, `name` and `fact` are glob patterns.

    `name` is matched against the object's identity, as in `public.events_2*`. A rule with the fact `*` leaves out whole
    objects and their parts.
    """

    kind: str = "*"
    name: str = "*"
    fact: str = "*"

    def matches_object(self, kind: str, identity: str) -> bool:
        """Whether the rule applies to an object."""
        return fnmatchcase(identity, self.name) and fnmatchcase(kind, self.kind)

    def matches_fact(self, fact: str) -> bool:
        """Whether the rule applies to a fact of an object that it matches."""
        return fnmatchcase(fact, self.fact)


@record(frozen=True, kw_only=True, slots=True)
class UndecidedObject:
    """An object that may differ: it could not be compared, for the reason in `reason`.

    `kind` and `identity` are those of its `SchemaObject`, or else those of the entry of a dump that failed.
    """

    kind: str
    identity: str
    reason: str

    @property
    def name(self) -> str:
        """The name of the object for users."""
        return f"{self.kind} {self.identity}"


@record(frozen=True, kw_only=True, slots=True)
class SchemaComparison:
    """The differences between two schemas, and what was left out.

    `changes` turn the schema `before` into `after`; parts of an object that is created or dropped are not listed.
    `spelling_changes` are objects with the same meaning but other texts. `ignored` counts the changes that settings
    leave out. `undecided` are objects that may differ. `notes` describe limits of the comparison.
    """

    changes: tuple[SchemaChange, ...] = ()
    spelling_changes: tuple[SchemaChange, ...] = ()
    undecided: tuple[UndecidedObject, ...] = ()
    ignored: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether no difference is left, and every object was compared."""
        return not self.changes and not self.undecided
