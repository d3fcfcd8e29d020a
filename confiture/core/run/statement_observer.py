"""Observers of a run's statements: called before each statement, and after it has succeeded."""

from __future__ import annotations

from confiture.models.plan import PlannedStep, Statement, StepId


class StatementObserver:
    """Base class that ignores every statement. An exception of a subclass fails the statement's step."""

    def before(self, step: PlannedStep, statement: Statement) -> None:
        """Observe a statement that is about to run."""

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Observe a statement that has succeeded, with its duration. For batches, only this method is called."""


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
