"""Runs a notebook's cells as a kernel would, without being one: magics, rich output, inline plots, top-level await.

A cell's outputs are collected as nbformat's dictionaries, up to a limit, and handed over when the cell has ended.
"""

import base64
import builtins
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config


class Outputs:
    """What one cell has put out so far; what goes beyond `limit` bytes is dropped, and a sentence says so."""

    def __init__(self) -> None:
        self.limit = 0
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.list: list[dict[str, Any]] = []
        self.used, self.full, self.clear_next = 0, False, False

    def add(self, output: dict[str, Any], size: int) -> None:
        """Add an output that takes about `size` bytes."""
        if self.clear_next:
            self.clear()
        if self.full:
            return
        self.used += size
        self.full = self.used > self.limit
        if self.full:
            note = f"… this cell has put out more than {self.limit:,} bytes; the rest is not shown\n"
            output = {"output_type": "stream", "name": "stderr", "text": note}
        last = self.list[-1] if self.list else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["parts"].append(output["text"])
            return
        if output["output_type"] == "stream":
            output["parts"] = [output.pop("text")]
        self.list.append(output)

    def taken(self) -> list[dict[str, Any]]:
        """What there is, and nothing after it."""
        taken = [{key: value for key, value in output.items() if key != "transient"} for output in self.list]
        for output in taken:
            if "parts" in output:
                # a progress bar writes over its line
                output["text"] = re.sub(r"[^\n]*\r(?!\n)", "", "".join(output.pop("parts")))
        self.clear()
        return taken


OUTPUTS = Outputs()


class Stream(io.TextIOBase):
    """Standard output or error of a cell."""

    encoding = "utf-8"

    def __init__(self, name: str, fd: int) -> None:
        self._name, self._fd = name, fd

    def write(self, text: str) -> int:
        """Add the text to the cell's outputs."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        room = max(0, OUTPUTS.limit - OUTPUTS.used) + 1
        OUTPUTS.add({"output_type": "stream", "name": self._name, "text": str(text[:room])}, len(text))
        return len(text)

    def fileno(self) -> int:
        """For programs that are started with it."""
        return self._fd

    def writable(self) -> bool:
        """Yes."""
        return True


class Publisher(DisplayPublisher):
    """Where `display` ends."""

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        source: Any = None,
        *,
        transient: Any = None,
        update: Any = False,
        **kwargs: Any,
    ) -> None:
        """Add a display, or change an earlier one of this cell."""
        data = dict(data)
        name = (transient or {}).get("display_id")
        if update:
            for output in OUTPUTS.list:
                if name and output.get("transient") == name:
                    output["data"] = data
            return
        OUTPUTS.add({"output_type": "display_data", "data": data, "transient": name}, _size(data))

    def clear_output(self, wait: bool = False) -> None:
        """Forget what the cell has shown, at once or when something new comes."""
        if wait:
            OUTPUTS.clear_next = True
        else:
            OUTPUTS.clear()


class Hook(DisplayHook):
    """Where the value of a cell's last line ends."""

    def write_output_prompt(self) -> None:
        """Nothing: the number is part of the output."""

    def write_format_data(self, format_dict: dict, md_dict: dict | None = None) -> None:
        """Add the value in all its forms."""
        count = self.prompt_count
        OUTPUTS.add(
            {"output_type": "execute_result", "data": dict(format_dict), "execution_count": count}, _size(format_dict)
        )

    def finish_displayhook(self) -> None:
        """Nothing to end."""


def _size(data: dict) -> int:
    return sum(len(value) if isinstance(value, (str, bytes)) else len(repr(value)) for value in data.values())


class Shell(InteractiveShell):
    """IPython without a terminal and without a kernel."""

    display_pub_class = Type(Publisher)
    displayhook_class = Type(Hook)

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        text = [str(line) for line in stb]
        error = {"output_type": "error", "ename": str(etype.__name__), "evalue": str(evalue), "traceback": text}
        OUTPUTS.add(error, sum(map(len, text)))

    def enable_gui(self, gui: str | None = None) -> None:
        """Nothing: there are no windows."""

    def system(self, cmd: str) -> None:
        """Run a shell's command (`!ls`) and show what it writes."""
        done = subprocess.run(
            ["/bin/sh", "-c", self.var_expand(cmd, depth=1)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        print(done.stdout.decode(errors="replace"), end="")
        self.user_ns["_exit_code"] = done.returncode

    system_piped = system_raw = system

    def ask_exit(self) -> None:
        """`exit` ends nothing: the rest of the notebook is still to be graded."""
        print("exit: the notebook goes on")


def _nobody_answers(prompt: object = "", *_: object) -> str:
    raise EOFError("there is nobody to answer input() while a notebook is graded")


class Cells:
    """A notebook that is being run: make one, fork, `begin`, and then run cells and put questions."""

    def __init__(self, answer: Callable[[str, str, str, str, dict[str, Any]], bytes]) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        self._shell = Shell.instance(config=config)
        self._answer = answer
        self._low: Any = None
        OUTPUTS.limit = 100_000
        try:  # once, so that no submission has to wait for what this imports
            raise RuntimeError
        except RuntimeError:
            self._shell.showtraceback()
        OUTPUTS.clear()

    def begin(self, limit: int) -> None:
        """Take over standard output and error, of this process and of what it starts; keep `limit` bytes of a cell."""
        OUTPUTS.limit = limit
        self._low = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        nowhere = os.open(os.devnull, os.O_RDONLY)
        for fd, to in ((0, nowhere), (1, self._low.fileno()), (2, self._low.fileno())):
            os.dup2(to, fd)
        os.close(nowhere)
        sys.stdout, sys.stderr = Stream("stdout", 1), Stream("stderr", 2)
        builtins.input = _nobody_answers

    def run(self, source: str) -> bytes:
        """Run one cell; its outputs and its number as JSON."""
        OUTPUTS.clear()
        self._shell.run_cell(source, store_history=True)
        self._collect()
        outputs = OUTPUTS.taken()
        return json.dumps(
            {"outputs": outputs, "execution_count": self._shell.execution_count - 1}, default=_plain
        ).encode("utf-8", "replace")

    def answer(self, lab: str, exercise: str, seed: str, unseen: str) -> bytes:
        """What the notebook's function answers to a question: its packed replies. What it shows is not kept."""
        try:
            return self._answer(lab, exercise, seed, unseen, self._shell.user_ns)
        finally:
            with contextlib.suppress(Exception):
                self._shell.events.trigger("post_execute")  # figures that it has drawn
            self._collect()
            OUTPUTS.clear()

    def _collect(self) -> None:
        """Fetch what went past Python: a library's warning, a program's output."""
        file = self._low
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(file.fileno()).st_size
            if size:
                text = os.pread(file.fileno(), min(size, OUTPUTS.limit + 1), 0).decode(errors="replace")
                os.ftruncate(file.fileno(), 0)
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                OUTPUTS.add({"output_type": "stream", "name": "stdout", "text": text}, size)


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else repr(value)
