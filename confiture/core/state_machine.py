"""States with a table of allowed transitions, for objects that pass through several of them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import Enum
from typing import Generic, TypeVar

State = TypeVar("State", bound=Enum)


class ForbiddenTransition(RuntimeError):
    """A mistake in Confiture itself: an object was to enter a state that does not follow from its present one."""


class StateMachine(Generic[State]):
    """One state, which changes only as `transitions` allows: by state, those that may follow it."""

    def __init__(self, initial: State, transitions: Mapping[State, Set[State]]) -> None:
        self._state = initial
        self._transitions = transitions

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    def enter(self, state: State) -> None:
        """Changes the state. Raises ForbiddenTransition."""
        if state not in self._transitions[self._state]:
            raise ForbiddenTransition(f"{type(state).__name__}: {self._state.name} cannot become {state.name}")
        self._state = state
