"""Migration files: what they may hold, and reading them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast, get_args

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from confiture.errors import Diagnostic, InputError, Problems, Span
from confiture.files.containers import Fields, Key, ListOf, MapOf, Record
from confiture.files.ddl import TEMPLATE_SUFFIX, Folders, read_ddl
from confiture.files.passages import Passage
from confiture.files.reader import Invalid, Reader, clipped
from confiture.files.reading import parse_yaml, read_source, shown_path
from confiture.files.shapes import Duration, NamedFile, PlainValue, Text, Value
from confiture.models.migration import (
    AnyStep,
    CheckStep,
    Comparison,
    Expectation,
    ExpectedRows,
    FileStep,
    Migration,
    Operator,
    Phase,
    Requirement,
    SqlStep,
)
from confiture.models.source import SourceText

SUFFIXES = (".yaml", ".yml")
# what templates call otherwise, or cannot call at all
_TAKEN = [
    "vars",
    "environment",
    "version",
    "name",
    "self",
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
]
VARIABLE_NAME = rf"(?!(?:{'|'.join(_TAKEN)})$)[A-Za-z_][A-Za-z0-9_]*"
VARIABLES = MapOf(
    Value(),
    key_pattern=VARIABLE_NAME,
    key_description=f"a name for a variable: letters, digits and _, but none of {', '.join(_TAKEN)}",
)
_VERSION = re.compile(r"(?=.*[^\W_])[\w.-]{1,60}")
_FILE_NAME = re.compile(r"(?P<version>\d[\d.]*)[_-]?(?P<name>.*)")
_OPERATORS = get_args(Operator)


class _ExpectShape:
    """What a check must return: a value, a comparison such as `{">": 0}`, or `rows: [...]`."""

    _row = ListOf(PlainValue(), single=True)
    _record = Record(
        {operator: Key(shape=PlainValue(), description=f"The value is {operator} this one.") for operator in _OPERATORS}
        | {"rows": Key(shape=ListOf(_row), description="The rows returned, in order; `[]` for none.")},
        noun="expectation",
    )

    def read(self, node: Node, reader: Reader) -> Expectation:
        if not isinstance(node, MappingNode):
            return Comparison(operator="=", value=PlainValue().read(node, reader))
        fields = self._record.read(node, reader)
        if len(fields.values) != 1:
            hint = f"write one of {', '.join(_OPERATORS)} or rows"
            raise reader.report(fields.span, "wrong-value", "an expectation has exactly one key", hint)
        ((key, value),) = fields.values.items()
        if key == "rows":
            return ExpectedRows(rows=tuple(tuple(row) for row in value))
        if value is None and key not in ("=", "!="):
            raise reader.report(fields.spans[key], "wrong-value", f"nothing is {key} null", "use = or !=")
        return Comparison(operator=cast(Operator, key), value=value)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [PlainValue().schema(), self._record.schema() | {"minProperties": 1, "maxProperties": 1}]}


class _StepShape:
    """A DDL file's name, or a mapping with exactly one kind of step."""

    _record = Record(
        {
            "name": Key(shape=Text(), description="What the step is called in reports."),
            "file": Key(
                shape=NamedFile(),
                description=f"A DDL file below the schemas folder; rendered if it ends in {TEMPLATE_SUFFIX}.",
            ),
            "sql": Key(shape=Passage(), description="SQL, rendered as a Jinja template."),
            "check": Key(shape=Passage(), description="A query, rendered as a Jinja template; see `expect`."),
            "expect": Key(
                shape=_ExpectShape(), description='What the check must return: a value, {">": 0}, or {rows: []}.'
            ),
            "when": Key(
                shape=Passage(also=("bool",)), description="A Jinja condition: the step is skipped if it is false."
            ),
            "timeout": Key(shape=Duration(), description="The longest that each statement may run; 0 for no limit."),
            "lock_timeout": Key(shape=Duration(), description="The longest wait for a lock; 0 for no limit."),
        },
        noun="key of a step",
        one_of=("file", "sql", "check"),
    )

    def read(self, node: Node, reader: Reader) -> Fields:
        if isinstance(node, ScalarNode):
            return Fields({"file": NamedFile().read(node, reader)}, {}, reader.span(node))
        try:
            fields = self._record.read(node, reader)
        except Invalid as error:
            raise Invalid(error.partial if _has_sql(error.partial) else None) from error
        if "check" in fields and "expect" not in fields:
            raise reader.report(
                fields.spans["check"], "missing-key", "a check needs `expect`: what must it return?", "add `expect: 0`"
            )
        if "expect" in fields and "check" not in fields:
            hint = "write `check:` for what is `sql:` here, or remove `expect`"
            raise reader.report(fields.spans["expect"], "unknown-key", "`expect` belongs to a `check`", hint)
        return fields

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [NamedFile().schema(), {"$ref": "#/$defs/step"}]}


_PHASE_TEXT = {
    Phase.BEFORE_VALIDATION: "Checks before anything changes.",
    Phase.BEFORE_DDL: "What must be done before the schema changes.",
    Phase.DDL: "The schema change.",
    Phase.AFTER_DDL: "Backfills.",
    Phase.AFTER_VALIDATION: "Checks that prove the result.",
    Phase.CLEANUP: "ANALYZE, temporary objects.",
    Phase.ON_ERROR: "Runs after a failure was rolled back, in a transaction of its own.",
    Phase.DOWN: "Undoes the migration.",
}

MIGRATION_SHAPE = Record(
    {
        "version": Key(
            shape=Text(numbers=True, example="002"),
            description="Unique; default: the leading digits of the file's name.",
        ),
        "name": Key(shape=Text(), description="Default: the rest of the file's name."),
        "description": Key(shape=Text(), description="What the migration is for."),
        "requires": Key(
            shape=ListOf(Passage(also=("int", "float")), single=True),
            description="Versions that must be applied before this one.",
        ),
        "vars": Key(
            shape=VARIABLES,
            description="Variables for the templates of this migration.",
        ),
    }
    | {phase.value: Key(shape=ListOf(_StepShape()), description=text) for phase, text in _PHASE_TEXT.items()},
    noun="key",
)


def migration_schema() -> dict[str, Any]:
    """The JSON Schema of a migration file."""
    step = _StepShape._record.schema() | {"dependentRequired": {"check": ["expect"], "expect": ["check"]}}
    return MIGRATION_SHAPE.schema() | {"$defs": {"step": step}}


def migration_paths(folder: Path, root: Path) -> list[Path]:
    """The migration files of a folder, hidden ones left out, sorted by name. Raises InputError without the folder."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        shown = shown_path(folder, root)
        raise InputError(
            Diagnostic(
                code="missing-folder",
                message=f"cannot read the migrations folder {shown}: {(error.strerror or str(error)).lower()}",
                hint=f"create it, or set `migrations:` in confiture.yaml to where they are (now: {shown})",
            )
        ) from error
    # a link that leads nowhere is no file, and reading it says so; passing over it would lose a migration
    named = [path for path in entries if path.suffix in SUFFIXES and not path.name.startswith(".")]
    return [path for path in named if path.is_file() or path.is_symlink()]


def version_of_file(path: Path) -> str | None:
    """The version that a file's name says, None where it says none."""
    match = _FILE_NAME.fullmatch(path.stem)
    return match["version"].rstrip(".") if match else None


def read_migration(path: Path, folders: Folders, problems: Problems) -> Migration | None:
    """The migration in a file. Mistakes are added to `problems`; then it is not whole, or None."""
    try:
        file = read_source(path, folders.root)
        node = parse_yaml(file)
    except InputError as error:
        problems.extend(error.diagnostics)
        return None
    reader = Reader(file, problems, lambda name: read_ddl(name, folders))
    if node is None:
        reader.report(Span(path=file.path, line=1), "empty-file", "the file is empty", "write it with `confiture new`")
        return None
    try:
        return _migration(MIGRATION_SHAPE.read(node, reader), path, reader, is_whole=True)
    except Invalid as error:
        return _readable_part(error.partial, path, reader)


def _readable_part(fields: Fields | None, path: Path, reader: Reader) -> Migration | None:
    """What could be read of a file with mistakes, so that those in its SQL are told together with them.

    None where nothing could, or where its variables are not known: its templates cannot be judged without.
    """
    if fields is None or ("vars" in fields.spans and "vars" not in fields):
        return None
    try:
        return _migration(fields, path, reader, is_whole=False)
    except Invalid:
        return None


def _migration(fields: Fields, path: Path, reader: Reader, *, is_whole: bool) -> Migration:
    version, name = _identity(fields, path, reader)
    phases = {phase: tuple(_step(step) for step in fields[phase.value]) for phase in Phase if phase.value in fields}
    if is_whole and not any(phases.values()):
        raise reader.report(fields.span, "no-steps", "the migration has no steps", "add a phase, for example `ddl:`")
    return Migration(
        version=version,
        name=name,
        file=reader.file,
        span=fields.spans.get("version", Span(path=reader.file.path, line=1)),
        description=fields.get("description", "").strip(),
        requires=tuple(Requirement(version=item.text, span=item.start) for item in fields.get("requires", [])),
        variables=fields.get("vars", {}),
        phases=phases,
        is_whole=is_whole,
    )


def _has_sql(fields: Fields | None) -> bool:
    """Whether what could be read of a step with mistakes is one step that can be planned."""
    if fields is None or len({"file", "sql", "check"} & fields.spans.keys()) != 1:
        return False
    return "file" in fields or "sql" in fields or ("check" in fields and "expect" in fields)


def _identity(fields: Fields, path: Path, reader: Reader) -> tuple[str, str]:
    match = _FILE_NAME.fullmatch(path.stem)
    version = fields.get("version") or version_of_file(path)
    if version is None:
        raise reader.report(
            Span(path=reader.file.path, line=1),
            "no-version",
            "the migration has no version",
            'begin the file\'s name with digits (`012_add_x.yaml`), or add `version: "012"`',
        )
    if not _VERSION.fullmatch(version):
        message = f"{clipped(version)!r} is not a version"
        span = fields.spans.get("version", Span(path=reader.file.path, line=1))
        raise reader.report(span, "bad-version", message, "write digits, letters and . _ -, 60 at most, such as 012")
    return version, fields.get("name") or (match["name"] if match and match["name"] else path.stem)


def _step(fields: Fields) -> AnyStep:
    common = {
        "span": fields.span,
        "name": fields.get("name"),
        "when": fields.get("when"),
        "timeout_ms": fields.get("timeout"),
        "lock_timeout_ms": fields.get("lock_timeout"),
    }
    if "file" in fields:
        asked, file = fields["file"]
        common["name"] = common["name"] or asked.text.strip()
        return FileStep(
            sql=SourceText(text=file.text, file=file), is_template=file.path.endswith(TEMPLATE_SUFFIX), **common
        )
    if "check" in fields:
        return CheckStep(sql=fields["check"], expect=fields["expect"], **common)
    return SqlStep(sql=fields["sql"], **common)
