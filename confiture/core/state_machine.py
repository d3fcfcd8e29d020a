"""A state machine with a table of allowed transitions."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import Enum
from typing import Generic, TypeVar

State = TypeVar("State", bound=Enum)


class ForbiddenTransition(RuntimeError):
    """A bug in Confiture: an object tried to enter a state that cannot follow the current one."""


class StateMachine(Generic[State]):
    """A state that changes only as `transitions` allows: a mapping from each state to its successors."""

    def __init__(self, initial: State, transitions: Mapping[State, Set[State]]) -> None:
        self._state = initial
        self._transitions = transitions

    @property
    def state(self) -> State:
        """The current state."""
        return self._state

    def enter(self, state: State) -> None:
        """Change the state. Raise ForbiddenTransition."""
        if state not in self._transitions[self._state]:
            raise ForbiddenTransition(f"{type(state).__name__}: {self._state.name} cannot become {state.name}")
        self._state = state
