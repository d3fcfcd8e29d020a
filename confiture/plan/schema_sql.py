"""The schema files as one SQL file for psql."""

from __future__ import annotations

from collections.abc import Iterator

from confiture.errors import DiagnosticCollector
from confiture.plan.schema_script import SESSION_RESET, SchemaScript


def format_script(script: SchemaScript) -> str:
    """Return the script as one SQL file, which `psql -1 -f FILE` runs like `confiture build`.

    Raise InputError if a template wrote secret values into the SQL.
    """
    _reject_secrets(script)
    return "".join(_format_parts(script))


def _format_parts(script: SchemaScript) -> Iterator[str]:
    yield "-- The schema files in the order of `confiture build`. To run them: psql -1 -v ON_ERROR_STOP=1 -f FILE\n"
    for file in script.files:
        if not file.statement_offsets:
            continue
        yield f"\n-- {file.path}\n{file.rendered.text.rstrip()}\n"
        if not file.is_terminated:
            yield ";\n"  # on a line of its own, because the text can end with a comment
        if file.resets_session:
            yield f"{SESSION_RESET};\n"


def _reject_secrets(script: SchemaScript) -> None:
    problems = DiagnosticCollector()
    for file in script.files:
        if file.rendered.private_values:
            problems.add(
                file.rendered.diagnostic(
                    0,
                    "secret-in-output",
                    "the template writes a secret variable into the SQL, and a file would contain it",
                    hint="remove the secret from the schema file, or use `confiture build` without --output",
                )
            )
    problems.raise_if_any()
