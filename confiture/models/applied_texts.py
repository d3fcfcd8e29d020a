"""The texts of an applied migration, as they ran."""

from __future__ import annotations

from confiture.models.history import AppliedMigration
from confiture.models.records import record


@record(frozen=True, kw_only=True, slots=True)
class AppliedText:
    """A stored text before rendering. `problem` says why the text is unknown; otherwise, it is None."""

    name: str
    text: str | None
    problem: str | None = None


@record(frozen=True, kw_only=True, slots=True)
class AppliedTexts:
    """The text of a migration's own file, and of each file that its steps name.

    The name of the migration's file is its path in the project. The name of another file is the path of its pin below
    the migration's folder. `own` is None if nothing was stored; `problem` then says why.
    """

    row: AppliedMigration
    own: AppliedText | None
    files: tuple[AppliedText, ...] = ()
    problem: str | None = None
