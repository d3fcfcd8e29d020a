"""What is raised where a hook asks for what hooks may not do."""

from __future__ import annotations


class HookRefused(RuntimeError):
    """A hook asked for what hooks may not do, such as to commit. Not caught, it fails the migration.

    Example::

        conn.commit()  # raises HookRefused: the migration commits what its hooks do, together with itself
    """
