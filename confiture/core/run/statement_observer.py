"""Statement observers. They are called before each statement, and again after the statement has succeeded."""

from __future__ import annotations

from confiture.models.plan import PlannedStep, Statement, StepId


class StatementObserver:
    """A base class that ignores every statement. An exception raised by a subclass fails the statement's step."""

    def before(self, step: PlannedStep, statement: Statement) -> None:
        """Observe a statement that is about to run."""

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Observe a successful statement and its duration. For batches, only this method is called."""


class ObserverSequence(StatementObserver):
    """Several observers, called in order."""

    def __init__(self, *observers: StatementObserver) -> None:
        self._observers = observers

    def before(self, step: PlannedStep, statement: Statement) -> None:
        """Call each observer."""
        for observer in self._observers:
            observer.before(step, statement)

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Call each observer."""
        for observer in self._observers:
            observer.after(identity, step, statement, duration_ms)
