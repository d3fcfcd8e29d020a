"""Tells listeners what happens. A listener that fails is dropped: it must not stop a migration."""

from __future__ import annotations

from collections.abc import Callable

from confiture.models.events import Event

Emit = Callable[[Event], None]


class Emitter:
    """Passes each event to every listener, in order. `failures` holds what listeners raised."""

    def __init__(self, *listeners: Emit) -> None:
        self._listeners = list(listeners)
        self.failures: list[Exception] = []

    def __call__(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception as error:
                self._listeners.remove(listener)
                self.failures.append(error)
