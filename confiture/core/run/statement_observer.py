"""Who sees the statements of a run: each one before it runs, and after it succeeded."""

from __future__ import annotations

from confiture.models.plan import PlannedStep, Statement, StepId


class StatementObserver:
    """Sees statements, and does nothing about them. Subclasses do; what they raise fails the statement's step."""

    def before(self, step: PlannedStep, statement: Statement) -> None:
        """Sees a statement that is about to run."""

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Sees a statement that succeeded, with the milliseconds that it took. Batches are not seen before."""


class ObserverSequence(StatementObserver):
    """Several observers, in the order in which they see each statement."""

    def __init__(self, *observers: StatementObserver) -> None:
        self._observers = observers

    def before(self, step: PlannedStep, statement: Statement) -> None:
        """Shows a statement to each."""
        for observer in self._observers:
            observer.before(step, statement)

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Shows a statement to each."""
        for observer in self._observers:
            observer.after(identity, step, statement, duration_ms)
