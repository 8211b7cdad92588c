"""Files that are no notebooks, or hardly."""

import json
from collections.abc import Callable
from typing import Any

import nbformat

from tests import submissions
from tests.attacks import Attack

LAB = "lab1_odes_sdes"


def changed(change: Callable[[dict[str, Any]], Any]) -> Callable[[], bytes]:
    """The released notebook as JSON, with something done to it, or something in its place."""

    def make() -> bytes:
        notebook = json.loads(nbformat.writes(submissions.released(LAB)))
        other = change(notebook)
        return json.dumps(notebook if other is None else other).encode()

    return make


def each_cell(change: Callable[[dict[str, Any]], Any]) -> Callable[[], bytes]:
    def of_all(notebook: dict[str, Any]) -> None:
        for cell in notebook["cells"]:
            change(cell)

    return changed(of_all)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def version_3(notebook: dict[str, Any]) -> dict[str, Any]:
    cells = [
        {"cell_type": cell["cell_type"], "metadata": cell["metadata"]}
        | ({"input": cell["source"], "outputs": []} if cell["cell_type"] == "code" else {"source": cell["source"]})
        for cell in notebook["cells"]
    ]
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}


def whole(data: bytes) -> Callable[[], bytes]:
    return lambda: data


ATTACKS = [
    Attack("is empty", file=whole(b"")),
    Attack("is a picture", file=whole(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100)),
    Attack("is a number", file=whole(b"1e999")),
    Attack("is a list", file=whole(b"[[[]]]")),
    Attack("is cut in the middle", file=lambda: changed(lambda notebook: None)()[:50_000]),
    Attack("nests a hundred thousand lists", file=whole(b"[" * 100_000 + b"]" * 100_000)),
    Attack("nests lists in a cell's metadata", file=each_cell(lambda cell: cell["metadata"].update(deep=nested(400)))),
    Attack("holds a number of a million digits", file=whole(b'{"cells": [' + b"9" * 1_000_000 + b"]}")),
    Attack("says that it has cells but has a dictionary", file=changed(lambda n: n.update(cells={"a": 1}))),
    Attack("has cells that are strings", file=changed(lambda n: n.update(cells=["a", "b"]))),
    Attack("has no cells", file=changed(lambda n: n.pop("cells") and None)),
    Attack("has sources that are numbers", file=each_cell(lambda cell: cell.update(source=3.5))),
    Attack(
        "has sources that are lists of anything", file=each_cell(lambda cell: cell.update(source=[1, None, {"a": []}]))
    ),
    Attack("has metadata that is a list", file=each_cell(lambda cell: cell.update(metadata=[1]))),
    Attack("has nbgrader's metadata as a string", file=each_cell(lambda cell: cell.update(metadata={"nbgrader": "x"}))),
    Attack("has ids that are no strings", file=each_cell(lambda cell: cell.update(id={"a": 1}, metadata={}))),
    Attack("has one id for all cells", file=each_cell(lambda cell: cell.update(id="same", metadata={}))),
    Attack("is written in a version to come", file=changed(lambda n: n.update(nbformat=99, nbformat_minor=-1))),
    Attack("is written in an old version", file=changed(version_3)),
    Attack("holds half characters", file=each_cell(lambda cell: cell.update(source="# \ud800 \udfff\n"))),
    Attack(
        "holds control characters", file=each_cell(lambda cell: cell.update(source="# \x00\x1b]0;title\x07\x08\n1"))
    ),
    Attack("is not in UTF-8", file=lambda: changed(lambda n: None)().decode().encode("utf-16")),
    Attack("has a cell of ten megabytes", file=changed(lambda n: n["cells"][-1].update(source="x = 1\n" * 1_700_000))),
    Attack(
        "has five thousand cells",
        file=changed(
            lambda n: n["cells"].extend(
                {"cell_type": "code", "metadata": {}, "source": "1", "outputs": []} for _ in range(5000)
            )
        ),
    ),
    Attack("has every cell twenty times", file=changed(lambda n: n.update(cells=n["cells"] * 20))),
    Attack(
        "has outputs that were never put out",
        file=each_cell(
            lambda cell: cell.update(
                outputs=[
                    {
                        "output_type": "execute_result",
                        "data": {"text/plain": "50.0"},
                        "metadata": {},
                        "execution_count": 1,
                    }
                ]
            )
        ),
    ),
    Attack("calls its cells something else", file=each_cell(lambda cell: cell.update(cell_type="heading"))),
]
