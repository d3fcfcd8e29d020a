"""Each output format writes what its entry says, and nothing falls back to another format."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from confiture.output.document import Document
from confiture.output.formats import FORMATS, OutputFormat, formats_for
from confiture.output.writer import Writer, WriterContext


def writer_class(output_format: OutputFormat) -> type[Writer]:
    module, _, name = output_format.writer.partition(":")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("output_format", FORMATS, ids=str)
def test_an_entry_lists_the_documents_that_its_writer_has(output_format: OutputFormat) -> None:
    own = vars(writer_class(output_format))
    assert output_format.documents == {document for document in Document if document.value in own}


def test_each_document_has_a_method_and_a_format_for_people_and_for_programs() -> None:
    for document in Document:
        assert callable(getattr(Writer, document.value))
        assert [*formats_for(document)][:2] == ["text", "json"]


def test_a_document_without_a_method_is_refused() -> None:
    written: list[str] = []
    write: Callable[[str], None] = written.append
    writer = Writer(WriterContext(root=Path(), environ={}, write=write, write_clean=write))
    with pytest.raises(NotImplementedError, match="Writer does not support diagnostics"):
        writer.diagnostics([])
    assert written == []
