"""Composes YAML text into nodes.

libyaml does it five times faster than the pure parser, whose messages are better: so libyaml goes first, and what it
refuses the pure parser judges anew.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node

try:
    from _ruamel_yaml_clibz import CParser  # where the wheel of ruamel.yaml.clibz puts it
except ImportError:  # no wheel for this platform: the pure parser does all
    CParser = None


_DEEPEST = 1_000
_MOST_EVENTS = 300_000
"""What the parser may find in a file: keys, values, ends of lists. Few take a kilobyte of memory each."""
_SMALL = 100_000
_LARGE = 200_000
"""Characters of a text that the pure parser takes too long for."""


class TooManyValues(Exception):
    """A file that holds more than a file of ours needs; `line` (from 0) is where it does."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def compose(text: str) -> Node | None:
    """The root node, None where there is no document. Raises what ruamel.yaml raises for text that is no YAML.

    Raises RecursionError or TooManyValues for what would take too much time or memory.
    """
    if CParser is None:
        return _compose_pure(text)
    if len(text) > _SMALL or _can_be_deep(text):
        _check_nesting(text)
    return _compose_fast(text)


def _can_be_deep(text: str) -> bool:
    """Whether libyaml might run out of stack: it recurses for each level, without a limit."""
    brackets = text.count("[") + text.count("{")
    return brackets > _DEEPEST or max(map(len, text.split("\n"))) > _DEEPEST


def _check_nesting(text: str) -> None:
    """Raises RecursionError for nesting that is too deep, TooManyValues for too many; neither takes memory here."""
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    loader = _make_loader()(text)
    depth = events = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            events += 1
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEEPEST:
                raise RecursionError
            if events > _MOST_EVENTS:
                raise TooManyValues(event.start_mark.line)
    except YAMLError:
        return  # composing says what is wrong
    finally:
        loader.dispose()


def _compose_pure(text: str) -> Node | None:
    parser = YAML(typ="safe", pure=True)
    parser.composer.warn_double_anchors = False
    node: Node | None = parser.compose(text)
    return node


def _compose_fast(text: str) -> Node | None:
    loader = _make_loader()(text)
    try:
        node: Node | None = loader.get_single_node()
    except Exception:
        if len(text) > _LARGE:
            raise
        return _compose_pure(text)
    finally:
        loader.dispose()
    return node


@cache
def _make_loader() -> Any:
    # the rules of YAML 1.2, which files are read as: a VersionedResolver would gather them anew for each file
    from ruamel.yaml.resolver import Resolver

    class Loader(CParser, Resolver):  # type: ignore[misc] # a class of a C module
        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Resolver.__init__(self, None)

    return Loader
