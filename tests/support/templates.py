"""Templates as if they stood in a file."""

from __future__ import annotations

from typing import Any

from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.plan.rendering import RenderContext, render


def source(text: str) -> LocatedSource:
    """A text that is a whole file."""
    return LocatedSource(text=text, file=SourceFile(path="a.sql.j2", text=text))


def context(**variables: Any) -> RenderContext:
    return RenderContext(environment="test", version="007", name="bond", variables=variables)


def rendered(text: str, **variables: Any) -> RenderedSql:
    return render(source(text), context(**variables))
