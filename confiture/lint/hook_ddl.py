"""Whether a Python hook contains DDL, as far as its source code shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DDL_WORDS = re.compile(r"\b(create|alter|drop|rename)\b", re.IGNORECASE)


def contains_ddl(hook: type[Any]) -> bool:
    """Whether a hook's files contain strings with DDL, outside of docstrings and of other classes.

    True if a file cannot be read.
    """
    classes = [cls for cls in hook.__mro__ if cls.__module__.partition(".")[0] not in ("builtins", "confiture", "abc")]
    names = {cls.__name__ for cls in classes}
    paths = {
        method.__code__.co_filename for cls in classes for method in vars(cls).values() if hasattr(method, "__code__")
    }
    return any(_file_contains_ddl(Path(path), names) for path in paths)


def _file_contains_ddl(path: Path, class_names: set[str]) -> bool:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    return any(DDL_WORDS.search(text) for text in _strings(tree, class_names))


def _strings(node: ast.AST, class_names: set[str]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and child.name not in class_names:
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        yield from _strings(child, class_names)
