"""PostgreSQL's own grammar, as postgast has it: `postgast` itself, and `pb`, the messages that trees are made of.

All others import them from here. The stubs of the trees are no valid Python (PostgreSQL has a field called `def`), so
whoever checks types against them cannot go on: for type checkers, ours and the users', everything here is Any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    check_error: Any
    lib: Any
    pb: Any
    postgast: Any
else:
    import postgast
    from postgast import pg_query_pb2 as pb
    from postgast.errors import check_error
    from postgast.native import lib

__all__ = ["check_error", "lib", "pb", "postgast"]
