"""The command line in a pseudo terminal, with a script of expected texts and keys."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

from confiture.__main__ import run as run_command
from tests.support.projects import Project

_LIMIT_S = 120.0


class Session:
    """A command in a terminal with a number of columns. `text` is everything that it has printed."""

    def __init__(self, project: Project, *arguments: str, columns: int, term: str = "dumb") -> None:
        self.text = ""
        self._read_to = 0
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            _run_child(project, arguments, columns, term)
        size = struct.pack("HHHH", 50, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def expect(self, pattern: str) -> str:
        """Wait for a text after what was expected before, and return everything up to its end."""
        deadline = time.monotonic() + _LIMIT_S
        while True:
            match = re.compile(pattern, re.DOTALL).search(self.text, self._read_to)
            if match:
                seen = self.text[self._read_to : match.end()]
                self._read_to = match.end()
                return seen
            assert self._receive(deadline), f"no {pattern!r} in\n{self.text}"

    def send(self, keys: str) -> None:
        """Type keys; control characters act as in a terminal."""
        os.write(self._terminal, keys.encode())

    def exit_code(self) -> int:
        """Wait for the end of the command."""
        deadline = time.monotonic() + _LIMIT_S
        while self._receive(deadline):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _receive(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"still nothing after {_LIMIT_S} s:\n{self.text}"
        try:
            data = os.read(self._terminal, 65_536)
        except OSError:  # the other side is closed
            return False
        self.text += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


def _run_child(project: Project, arguments: tuple[str, ...], columns: int, term: str) -> None:
    """Become the command. Never return."""
    code = 70
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.chdir(project.root)
        os.environ.clear()
        os.environ.update(project.environment, TERM=term, COLUMNS=str(columns))
        sys.argv = ["confiture", *arguments]
        sys.path.insert(0, str(project.root))
        kept = []
        for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
            stream = os.fdopen(os.dup(descriptor), mode, encoding="utf-8")
            setattr(sys, name, stream)
            kept.append(stream)  # closing it would close the descriptor
        try:
            run_command()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
    finally:
        os._exit(code)
