"""One line instead of a traceback where a cell uses a function that is not written yet."""

import re
from typing import Any


def quiet(shell: Any) -> None:
    """Make an IPython shell say in one line what a cell waits for; every other error is shown as always.

    Run All over a lab in which half is open is then a list of what is to do, not a wall of tracebacks.
    """

    def show(self: Any, kind: type, error: BaseException, trace: Any, tb_offset: int | None = None) -> list[str]:
        waits = re.fullmatch(r"(\w+) is yours to write", str(error))
        if waits:
            lines = [f"\x1b[1;31m{error}\x1b[0m: run this cell again when check({waits[1]}) is content."]
        else:
            lines = self.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=tb_offset)
        self._showtraceback(kind, error, lines)
        return lines

    shell.set_custom_exc((NotImplementedError,), show)
