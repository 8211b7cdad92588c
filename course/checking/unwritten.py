"""One line instead of a traceback where a cell needs something that is not written yet."""

import linecache
import re
import symtable
import traceback
from types import FrameType, TracebackType
from typing import Any

ERRORS = (NameError, LookupError, RuntimeError, TypeError, ValueError)  # NotImplementedError is a RuntimeError


def quiet(shell: Any) -> None:
    """Make an IPython shell say in one line what a cell waits for; every other error is shown as always.

    A cell waits for an exercise when it calls a function that is not written yet, or uses what a waiting cell has not
    made, or not made to its end. Run All over a lab in which half is open is then a list of what is to do, not a wall
    of tracebacks.
    """
    unmade: dict[str, tuple[str, Any]] = {}  # by name: what its cell waits for, and what the name stood for by then

    def show(self: Any, kind: type, error: BaseException, trace: TracebackType, tb_offset: int | None = None) -> None:
        frames = [frame for frame, _ in traceback.walk_tb(trace) if frame.f_globals is self.user_ns]
        used = [n for frame in frames for n in frame.f_code.co_names if n in self.user_ns]
        if isinstance(error, NameError):
            used = [str(error.name)]
        if waits := re.fullmatch(r"(\w+) is yours to write", str(error)):
            exercise, why, what = waits[1], str(error), "this cell"
        elif name := next((n for n in used if n in unmade and _is_still(self.user_ns.get(n), unmade[n][1])), None):
            exercise, what = unmade[name][0], "that cell and this one"
            why = f"{name} is made by a cell that waits for {exercise}"
        else:
            self.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
            return
        unmade.update({n: (exercise, self.user_ns.get(n)) for n in _makes(frames[:1])})
        line = f"\x1b[1;31m{why}\x1b[0m: run {what} again when check({exercise}) is content."
        self._showtraceback(kind, error, [line])

    shell.set_custom_exc(ERRORS, show)


def _is_still(now: Any, then: Any) -> bool:
    """Whether a name stands for nothing, or for the container that a cell began to fill."""
    return now is then and isinstance(now, dict | list | None)


def _makes(cell: list[FrameType]) -> list[str]:
    """The names that the cell makes, or would have made if it had come to its end."""
    source = "".join(linecache.getlines(cell[0].f_code.co_filename)) if cell else ""
    try:
        symbols = symtable.symtable(source, "<cell>", "exec").get_symbols()
    except SyntaxError:  # such as an asynchronous comprehension, which only a notebook has at its top
        return []
    return [symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()]
