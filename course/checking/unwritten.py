"""One line instead of a traceback where a cell needs something that is not written yet."""

import linecache
import re
import symtable
import traceback
from types import TracebackType
from typing import Any


def quiet(shell: Any) -> None:
    """Make an IPython shell say in one line what a cell waits for; every other error is shown as always.

    A cell waits for an exercise when it calls a function that is not written yet, or uses a name that a waiting cell
    would have made. Run All over a lab in which half is open is then a list of what is to do, not a wall of tracebacks.
    """
    waiting: dict[str, str] = {}  # by name: the exercise for which the cell waits that would have made it

    def show(self: Any, kind: type, error: BaseException, trace: TracebackType, tb_offset: int | None = None) -> None:
        missing = str(error.name) if isinstance(error, NameError) else ""
        if waits := re.fullmatch(r"(\w+) is yours to write", str(error)):
            exercise, why, what = waits[1], str(error), "this cell"
        elif missing in waiting and missing not in self.user_ns:
            exercise, what = waiting[missing], "that cell and this one"
            why = f"{missing} is made by a cell that waits for {exercise}"
        else:
            self.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
            return
        waiting.update(dict.fromkeys(_made(trace, self.user_ns), exercise))
        line = f"\x1b[1;31m{why}\x1b[0m: run {what} again when check({exercise}) is content."
        self._showtraceback(kind, error, [line])

    shell.set_custom_exc((NotImplementedError, NameError), show)


def _made(trace: TracebackType, namespace: dict[str, Any]) -> list[str]:
    """The names that the cell in which this was raised makes, or would have made."""
    for frame, _ in traceback.walk_tb(trace):
        if frame.f_locals is namespace:  # a cell, not a function
            source = "".join(linecache.getlines(frame.f_code.co_filename))
            try:
                symbols = symtable.symtable(source, frame.f_code.co_filename, "exec").get_symbols()
            except SyntaxError:  # such as an asynchronous comprehension, which only a notebook has at its top
                return []
            return [symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()]
    return []
