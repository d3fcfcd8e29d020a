"""Compare two schemas: objects by name, facts by name. No kind of object has code of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from confiture.models.records import record, replace
from confiture.models.schema_changes import ChangeAction, FactChange, IgnoreRule, SchemaChange, SchemaComparison
from confiture.models.schema_facts import (
    INHERITED_FROM,
    NOT_NULL_CONSTRAINT,
    NOT_READ,
    OPTION_NAMES,
    OPTION_VALUES,
    OWNER,
    POSITION,
    PRIVILEGES,
    SchemaFacts,
    SchemaObject,
)

_MAINTAIN_VERSION, _NOT_NULL_VERSION = 17, 18
_MAINTAIN = "maintain"
_EXTENSION = "extension"
_QUOTED = re.compile(r'"([a-z_][a-z0-9_$]*)"')
_NUMBERED = re.compile(r"(?<=_not_null)\d+$")


@record(frozen=True, kw_only=True, slots=True)
class ComparisonOptions:
    """Options of a comparison. Changes that match a rule in `ignore` are counted instead of listed."""

    owners: bool = False
    extension_versions: bool = False
    not_null_names: bool = True
    """Whether names of NOT NULL constraints are compared, which servers before 18 do not have."""
    maintain: bool = True
    """Whether the privilege MAINTAIN is compared, which servers before 17 do not have."""
    ignore: tuple[IgnoreRule, ...] = ()


DEFAULT_OPTIONS = ComparisonOptions()


@record(frozen=True, kw_only=True, slots=True)
class _FactFilter:
    """The facts that count, given the options and the versions of both servers."""

    options: ComparisonOptions
    has_maintain: bool
    has_not_null_names: bool
    skipped: frozenset[str] = field(default=frozenset())

    def compared_facts(self, item: SchemaObject) -> Mapping[str, str]:
        """Return the facts of an object to compare."""
        return {
            name: self._compared_value(name, value)
            for name, value in item.facts.items()
            if name not in self.skipped and not self._is_optional(item.kind, name)
        }

    def _compared_value(self, fact: str, value: str) -> str:
        if fact == NOT_NULL_CONSTRAINT:
            # PostgreSQL appends a number to a name that another table uses; a dump does not contain it
            return _NUMBERED.sub("", value)
        if not self.has_maintain and fact.startswith(PRIVILEGES):
            return ", ".join(one for one in value.split(", ") if one.partition(" ")[0] != _MAINTAIN)
        return value

    def _is_optional(self, kind: str, fact: str) -> bool:
        # the comment of an extension comes from its control file
        return kind == _EXTENSION and fact in ("version", "comment") and not self.options.extension_versions


def compare_schemas(
    before: SchemaFacts, after: SchemaFacts, options: ComparisonOptions = DEFAULT_OPTIONS
) -> SchemaComparison:
    """Return the changes that turn one schema into the other, sorted by kind and identity.

    The parts of created and dropped objects are not listed, nor the copies of a change in partitions and inheritance
    children. On servers with different major versions, the names of NOT NULL constraints (18) and the privilege
    MAINTAIN (17) are not compared; a note reports this.
    """
    fact_filter = _build_filter(before, after, options)
    if before.major_version != after.major_version:
        before, after = _without_quotes(before), _without_quotes(after)
    changes = [*_find_changes(before, after, fact_filter)]
    kept, ignored = _apply_ignore(changes, before, after, options.ignore)
    return SchemaComparison(
        changes=tuple(sorted(kept, key=lambda change: (change.kind, change.identity))),
        ignored=ignored,
        notes=(*_version_notes(fact_filter), *_unread_notes(before, after)),
    )


def _build_filter(before: SchemaFacts, after: SchemaFacts, options: ComparisonOptions) -> _FactFilter:
    older, newer = sorted((before.major_version, after.major_version))
    has_names = options.not_null_names and (older == newer or older >= _NOT_NULL_VERSION)
    skipped = {POSITION, NOT_READ}
    if not options.owners:
        skipped.add(OWNER)
    if not has_names:
        skipped.add(NOT_NULL_CONSTRAINT)
    has_maintain = older == newer or older >= _MAINTAIN_VERSION or newer < _MAINTAIN_VERSION
    has_maintain = has_maintain and options.maintain
    return _FactFilter(
        options=options, has_maintain=has_maintain, has_not_null_names=has_names, skipped=frozenset(skipped)
    )


def without_quotes(name: str) -> str:
    """Return a name without unneeded quotes: each version quotes its own keywords."""
    return _QUOTED.sub(r"\1", name)


def _without_quotes(schema: SchemaFacts) -> SchemaFacts:
    """Return the schema with names without unneeded quotes: each version quotes its own keywords."""
    objects = {}
    for item in schema.objects.values():
        facts = item.facts
        if INHERITED_FROM in facts:
            facts = {**facts, INHERITED_FROM: without_quotes(facts[INHERITED_FROM])}
        plain = replace(item, identity=without_quotes(item.identity), parent=without_quotes(item.parent), facts=facts)
        objects[plain.name] = plain
    return replace(schema, objects=objects)


def _find_changes(before: SchemaFacts, after: SchemaFacts, fact_filter: _FactFilter) -> Iterator[SchemaChange]:
    created = {name for name in after.objects if name not in before.objects}
    dropped = {name for name in before.objects if name not in after.objects}
    for names, schema, action in ((created, after, ChangeAction.CREATE), (dropped, before, ChangeAction.DROP)):
        for name in names:
            item = schema.objects[name]
            if item.parent not in names and item.facts.get(INHERITED_FROM) not in names:
                yield SchemaChange(action=action, kind=item.kind, identity=item.identity, parent=item.parent)
    altered = dict(_find_altered(before, after, fact_filter))
    for name, facts in altered.items():
        item = after.objects[name]
        origin = altered.get(item.facts.get(INHERITED_FROM, ""))
        if facts != origin:
            yield SchemaChange(
                action=ChangeAction.ALTER, kind=item.kind, identity=item.identity, parent=item.parent, facts=facts
            )


def _find_altered(
    before: SchemaFacts, after: SchemaFacts, fact_filter: _FactFilter
) -> Iterator[tuple[str, tuple[FactChange, ...]]]:
    """Yield the objects in both schemas whose facts differ."""
    for name, old in before.objects.items():
        new = after.objects.get(name)
        if new is None or old.facts == new.facts:
            continue
        old_facts, new_facts = fact_filter.compared_facts(old), fact_filter.compared_facts(new)
        if NOT_READ in old.facts or NOT_READ in new.facts:
            # a note describes it
            old_facts, new_facts = (
                {fact: value for fact, value in facts.items() if fact not in (OPTION_NAMES, OPTION_VALUES)}
                for facts in (old_facts, new_facts)
            )
        if old_facts == new_facts:
            continue
        yield (
            name,
            tuple(
                FactChange(fact=fact, before=old_facts.get(fact), after=new_facts.get(fact))
                for fact in sorted({*old_facts, *new_facts})
                if old_facts.get(fact) != new_facts.get(fact)
            ),
        )


def _apply_ignore(
    changes: Iterable[SchemaChange], before: SchemaFacts, after: SchemaFacts, rules: tuple[IgnoreRule, ...]
) -> tuple[list[SchemaChange], int]:
    """Return the changes that no rule leaves out, and how many changes or single facts the rules leave out."""
    if not rules:
        return [*changes], 0
    kept: list[SchemaChange] = []
    ignored = 0
    for change in changes:
        objects = [(change.kind, change.identity), *_ancestors(change.parent, before, after)]
        if any(rule.fact == "*" and any(rule.matches_object(*one) for one in objects) for rule in rules):
            ignored += 1
            continue
        matching = [rule for rule in rules if rule.fact != "*" and rule.matches_object(change.kind, change.identity)]
        facts = tuple(fact for fact in change.facts if not any(rule.matches_fact(fact.fact) for rule in matching))
        ignored += len(change.facts) - len(facts)
        if facts or not change.facts:
            kept.append(replace(change, facts=facts))
    return kept, ignored


def _ancestors(parent: str, before: SchemaFacts, after: SchemaFacts) -> Iterator[tuple[str, str]]:
    while item := after.objects.get(parent) or before.objects.get(parent):
        yield item.kind, item.identity
        parent = item.parent


def _version_notes(fact_filter: _FactFilter) -> Iterator[str]:
    if not fact_filter.has_not_null_names:
        yield "names of NOT NULL constraints are not compared: PostgreSQL has them since version 18"
    if not fact_filter.has_maintain:
        yield "the privilege MAINTAIN is not compared: PostgreSQL has it since version 17"


def _unread_notes(before: SchemaFacts, after: SchemaFacts) -> Iterator[str]:
    """Describe the parts of objects in both schemas that could not be read."""
    for name, item in sorted(after.objects.items()):
        other = before.objects.get(name)
        reason = item.facts.get(NOT_READ) or (other.facts.get(NOT_READ) if other else None)
        if reason and other:
            yield f"{name}: not compared: {reason}"
