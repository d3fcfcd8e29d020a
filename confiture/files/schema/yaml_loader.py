"""Parsing of YAML text into nodes.

libyaml is five times faster than the pure Python parser, but the pure parser has better messages. So libyaml parses
first, and the pure parser repeats the parse if libyaml reports an error.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node

try:
    from _ruamel_yaml_clibz import CParser  # from the wheel of ruamel.yaml.clibz
except ImportError:  # no wheel for this platform: always use the pure parser
    CParser = None


_DEEPEST = 1_000
_MOST_EVENTS = 300_000
"""The maximum number of parser events (keys, values, ends of lists). Few events need more than 1 kB of memory."""
_SMALL = 100_000
_LARGE = 200_000
"""The length, in characters, above which the pure parser is too slow."""


class TooManyValues(Exception):
    """A file contains more values than any valid file needs. `line` (from 0) is where the limit is exceeded."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def compose(text: str) -> Node | None:
    """Return the root node; None if there is no document.

    Raise ruamel.yaml's errors for invalid YAML, and RecursionError or TooManyValues if parsing would need too much time
    or memory.
    """
    if CParser is None:
        return _compose_pure(text)
    if len(text) > _SMALL or _can_be_deep(text):
        _check_nesting(text)
    return _compose_fast(text)


def _can_be_deep(text: str) -> bool:
    """Whether libyaml might exhaust the stack: libyaml recurses for each nesting level, without a limit."""
    brackets = text.count("[") + text.count("{")
    return brackets > _DEEPEST or max(map(len, text.split("\n"))) > _DEEPEST


def _check_nesting(text: str) -> None:
    """Raise RecursionError for excessive nesting and TooManyValues for too many values. Use constant memory."""
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
        return  # composing reports the error
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
    # the YAML 1.2 rules; a VersionedResolver would collect the rules again for each file
    from ruamel.yaml.resolver import Resolver

    class Loader(CParser, Resolver):  # type: ignore[misc] # a class of a C module
        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Resolver.__init__(self, None)

    return Loader
