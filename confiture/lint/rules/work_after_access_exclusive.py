"""Work that takes its time while an earlier statement's ACCESS EXCLUSIVE lock is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import additions
from confiture.lint.facts.row_changes import CHANGING, changes, is_new_name, is_unbounded, reads_much
from confiture.lint.facts.table_sizes import is_large, is_small, name_of
from confiture.lint.remedies.commands import LATER, constraint_name, lines
from confiture.lint.remedies.sql_text import enumerated
from confiture.models.catalog import Name, Table, View
from confiture.models.trace import LockMode
from confiture.sql.tree import alter_commands, pb
from confiture.sql.walking import nodes_of
from confiture.text import shortened

_BUILDING = ("index_stmt", "cluster_stmt", "reindex_stmt", "alter_table_stmt", "alter_domain_stmt")
_KINDS = frozenset({*CHANGING, *_BUILDING, "create_table_as_stmt", "refresh_mat_view_stmt", "copy_stmt"})


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if next(subject.earlier_exclusive(), None) is None:
        return
    work = next(_work(subject), None)
    if work is None:
        return
    for earlier in subject.earlier_exclusive():
        held = _held(earlier, subject)
        if held:
            if not _is_told(earlier, subject):
                stays = "stays" if len(held) == 1 else "stay"
                yield Hit(
                    place=subject.place,
                    relation=str(held[0]),
                    message=f"{enumerated([str(name) for name in held])} {stays} locked by "
                    f"`{shortened(earlier.statement.text)}` while this statement {work}",
                    remedy=None if _is_mended(subject) else lines(LATER, subject.statement.text.strip()),
                )
            return


def _is_mended(subject: StatementSubject) -> bool:
    """Whether the work is a hazard by itself, wherever it runs: what to write instead is told along with that."""
    kind, node = subject.statement.kind, subject.node
    if kind not in ("index_stmt", "alter_table_stmt") or subject.is_new(node.relation):
        return False
    return kind == "index_stmt" or any(one.subtype != pb.AT_ValidateConstraint for one in alter_commands(node))


def _held(earlier: StatementSubject, subject: StatementSubject) -> list[Name]:
    """The tables that others use and that stay locked because of an earlier statement, not of the present one."""
    own = {name for name, mode in subject.effects.locks.items() if mode is LockMode.ACCESS_EXCLUSIVE}
    return [name for name in _locked(earlier) if name not in own and not is_new_name(subject, name)]


def _is_told(earlier: StatementSubject, subject: StatementSubject) -> bool:
    """Whether the locks of the earlier statement are told of at other work between: once is enough."""
    numbers = subject.transaction.of_kind(_KINDS, earlier.number + 1, subject.number)
    between = (subject.earlier[number] for number in numbers)
    return any(_held(earlier, one) and next(_work(one), None) for one in between)


def _locked(subject: StatementSubject) -> Iterator[Name]:
    """The tables and views that a statement locked in ACCESS EXCLUSIVE mode and that are still there."""
    for name, mode in subject.effects.locks.items():
        if mode is LockMode.ACCESS_EXCLUSIVE:
            known = subject.catalog.relation(*name)
            if isinstance(known, Table | View) or (known is None and _names(subject, name)):
                yield name


def _names(subject: StatementSubject, relation: Name) -> bool:
    """Whether a statement other than a DROP names a relation, not an index, that the catalog does not know."""
    if subject.statement.kind == "drop_stmt" or relation in subject.catalog.index_owners:
        return False
    named = nodes_of(subject.node, pb.RangeVar)
    return any(name_of(subject, one) == relation for one in named)


def _work(subject: StatementSubject) -> Iterator[str]:
    """What takes time in a statement, in words that follow `this statement`."""
    kind, node = subject.statement.kind, subject.node
    for change in changes(kind, node):
        if is_unbounded(change, subject):
            yield f"changes rows of {subject.name(change.node.relation)}"
    filled = _filled(subject)
    if filled is not None:
        yield f"fills {subject.name(filled)}"
    elif kind == "select_stmt":
        # a check reads what it must to prove something: worth a word only where that is known to be much
        large = [name for name in sorted(subject.effects.scans) if is_large(subject, name)]
        if large:
            yield f"reads all {subject.rows(large[0]):,} rows of {large[0]}"
    elif kind in _BUILDING and not _validates_what_it_added(subject) and not _is_of_empty_table(subject):
        for name in sorted(subject.effects.scans | subject.effects.rewrites):
            if not is_new_name(subject, name) and not is_small(subject, name):
                verb = "writes all of" if name in subject.effects.rewrites else "reads all of"
                yield f"{verb} {name}"


def _filled(subject: StatementSubject) -> Any:
    """The relation that a statement fills with rows whose number is not bounded, None where it does not."""
    node = subject.node
    match subject.statement.kind:
        case "insert_stmt" if reads_much(node.select_stmt.select_stmt, subject):
            return node.relation
        case "create_table_as_stmt" if not node.into.skip_data and reads_much(node.query.select_stmt, subject):
            return node.into.rel
        case "refresh_mat_view_stmt" if not node.skip_data:
            return node.relation
        case "copy_stmt" if node.is_from:
            return node.relation
    return None


def _is_of_empty_table(subject: StatementSubject) -> bool:
    """Whether it alters a table that the transaction made and did not fill: its keys have nothing to look up."""
    if subject.statement.kind != "alter_table_stmt":
        return False
    table = name_of(subject, subject.node.relation)
    made = any(name_of(one, one.node.relation) == table for one in subject.earlier_of("create_stmt"))
    return made and not any(
        name_of(one, one.node.relation) == table for one in subject.earlier_of("insert_stmt", "copy_stmt")
    )


def _validates_what_it_added(subject: StatementSubject) -> bool:
    """Whether the statement does nothing but prove constraints of the same transaction, which is another rule's."""
    if subject.statement.kind != "alter_table_stmt":
        return False
    commands = list(alter_commands(subject.node))
    if any(one.subtype != pb.AT_ValidateConstraint for one in commands):
        return False
    table = name_of(subject, subject.node.relation)
    added = {
        constraint_name(one, addition)
        for one in subject.earlier_of("alter_table_stmt")
        if name_of(one, one.node.relation) == table
        for addition in additions(one)
    }
    return all(one.name in added for one in commands)


_BEFORE = """CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz);
INSERT INTO w_orders (id) SELECT generate_series(1, 20000);
ANALYZE w_orders"""

RULE = StatementRule(
    name="work_after_access_exclusive",
    group=Group.TRANSACTIONS,
    severity="warning",
    summary="Long work while an ACCESS EXCLUSIVE lock of the same transaction is held",
    effect="Nobody can read or write the locked table until this work is done and the transaction commits: its ACCESS "
    "EXCLUSIVE lock lasts until then.",
    hint="put what takes the lock and what takes the time into migrations of their own",
    kinds=_KINDS,
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_orders ADD COLUMN placed_on date;\n"
            "UPDATE w_orders SET placed_on = placed_at::date WHERE placed_on IS NULL",
        ),
    ),
    good=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_orders ADD COLUMN placed_on date",
            "UPDATE w_orders SET placed_on = placed_at::date WHERE placed_on IS NULL AND id >= 1 AND id < 501",
        ),
    ),
)
