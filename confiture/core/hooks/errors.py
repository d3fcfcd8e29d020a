"""Hook errors: HookRefused is raised by Confiture, and LintingError is raised by hooks."""

from __future__ import annotations


class HookRefused(RuntimeError):
    """A hook tried a forbidden operation, such as a commit. If the error is not caught, the migration fails.

    Example::

        conn.commit()  # raises HookRefused: the migration commits hook work together with its own
    """


class LintingError(Exception):
    """Raised by a hook to reject a migration under a custom rule, usually in BEFORE_VALIDATION.

    The error stops the migration in the same way as a failed check: everything is rolled back, and the exit code is 1.

    Example::

        class RequireTenants(Hook):
            phase = HookPhase.BEFORE_VALIDATION

            def execute(self, conn, context):
                if not conn.execute("SELECT EXISTS (SELECT FROM w_tenants)").scalar():
                    raise LintingError("w_tenants is empty")
    """
