"""Composes YAML text into nodes.

libyaml does it five times faster than the pure parser, whose messages are better: so libyaml goes first, and what it
refuses the pure parser judges anew.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import Node

try:
    from _ruamel_yaml_clibz import CParser  # where the wheel of ruamel.yaml.clibz puts it
except ImportError:  # no wheel for this platform: the pure parser does all
    CParser = None


_DEEPEST = 1_000


def compose(text: str) -> Node | None:
    """The root node, None where there is no document. Raises what ruamel.yaml raises for text that is no YAML."""
    return _pure(text) if CParser is None or _may_be_deep(text) else _fast(text)


def _may_be_deep(text: str) -> bool:
    """Whether libyaml might run out of stack: it recurses for each level, without a limit."""
    brackets = text.count("[") + text.count("{")
    return brackets > _DEEPEST or max(map(len, text.split("\n"))) > _DEEPEST


def _pure(text: str) -> Node | None:
    parser = YAML(typ="safe", pure=True)
    parser.composer.warn_double_anchors = False
    node: Node | None = parser.compose(text)
    return node


def _fast(text: str) -> Node | None:
    loader = _loader()(text)
    try:
        node: Node | None = loader.get_single_node()
    except Exception:
        return _pure(text)
    finally:
        loader.dispose()
    return node


@cache
def _loader() -> Any:
    # the rules of YAML 1.2, which files are read as: a VersionedResolver would gather them anew for each file
    from ruamel.yaml.resolver import Resolver

    class Loader(CParser, Resolver):  # type: ignore[misc] # a class of a C module
        def __init__(self, stream: str) -> None:
            CParser.__init__(self, stream)
            Resolver.__init__(self, None)

    return Loader
