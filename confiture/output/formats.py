"""The output formats, each with its writer and the documents that it supports.

To add a format, write a subclass of `Writer` and add an entry to `FORMATS`; docs/extending.md shows an example.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from confiture.output.document import Document

if TYPE_CHECKING:
    from confiture.output.writer import Writer, WriterContext


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """A value of `--format`.

    `writer` names a class as `module:class`. The class is imported on first use to keep start-up fast.
    """

    name: str
    writer: str
    documents: frozenset[Document]

    def open(self, context: WriterContext) -> Writer:
        """Return a writer for this format."""
        module, _, name = self.writer.partition(":")
        return cast("type[Writer]", getattr(import_module(module), name))(context)

    @property
    def is_text(self) -> bool:
        """Whether this is the terminal format, which prints errors to stderr."""
        return self is TEXT

    def __str__(self) -> str:
        return self.name


_RUNS = frozenset({Document.RUN, Document.DIAGNOSTICS, Document.FINDINGS})

TEXT = OutputFormat("text", "confiture.output.terminal.text_writer:TextWriter", frozenset(Document))
FORMATS = (
    TEXT,
    OutputFormat("json", "confiture.output.json.json_writer:JsonWriter", frozenset(Document)),
    OutputFormat("sarif", "confiture.output.ci.sarif:SarifWriter", frozenset({Document.FINDINGS})),
    OutputFormat("github", "confiture.output.ci.github:GitHubWriter", _RUNS),
    OutputFormat("gitlab", "confiture.output.ci.gitlab:GitLabWriter", frozenset({Document.FINDINGS})),
    OutputFormat("junit", "confiture.output.ci.junit:JUnitWriter", _RUNS),
    OutputFormat(
        "markdown",
        "confiture.output.ci.markdown:MarkdownWriter",
        _RUNS | {Document.ASSESSMENT, Document.SAVED_PLAN, Document.SCHEMA_DIFF},
    ),
)


def formats_for(document: Document) -> dict[str, OutputFormat]:
    """Return the formats that support a document, by name, in the order of the help text."""
    return {form.name: form for form in FORMATS if document in form.documents}
