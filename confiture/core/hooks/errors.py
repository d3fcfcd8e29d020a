"""The errors of hooks: HookRefused is raised to them, LintingError by them."""

from __future__ import annotations


class HookRefused(RuntimeError):
    """A hook tried a forbidden operation, such as a commit. If it is not caught, it fails the migration.

    Example::

        conn.commit()  # raises HookRefused: the migration commits the work of its hooks together with its own
    """


class LintingError(Exception):
    """Raised by a hook to reject a migration by a custom rule, usually in BEFORE_VALIDATION.

    It stops the migration like a failed check: everything is rolled back, and the exit code is 1.

    Example::

        class RequireTenants(Hook):
            phase = HookPhase.BEFORE_VALIDATION

            def execute(self, conn, context):
                if not conn.execute("SELECT EXISTS (SELECT FROM w_tenants)").scalar():
                    raise LintingError("w_tenants is empty")
    """
