"""The errors of hooks: the one that they get, and the one that they may raise."""

from __future__ import annotations


class HookRefused(RuntimeError):
    """A hook asked for what hooks may not do, such as to commit. Not caught, it fails the migration.

    Example::

        conn.commit()  # raises HookRefused: the migration commits what its hooks do, together with itself
    """


class LintingError(Exception):
    """Raised by a hook to refuse a migration by a rule of its own, usually in BEFORE_VALIDATION.

    It stops the migration as a failed check does: all of it is rolled back, and the command ends with 1.

    Example::

        class RequireTenants(Hook):
            phase = HookPhase.BEFORE_VALIDATION

            def execute(self, conn, context):
                if not conn.execute("SELECT EXISTS (SELECT FROM w_tenants)").scalar():
                    raise LintingError("w_tenants is empty")
    """
