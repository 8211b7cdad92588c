"""What a function answered: plain values that can be stored, sent and compared, never code.

A reply is frozen into numbers, strings and arrays before it is looked at. `pack` turns replies into bytes (JSON with
base64 arrays), `unpack` reads them back and trusts nothing: this is what crosses from a student's process to the judge.
"""

import base64
import inspect
import json
import linecache
import math
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

MAX_BYTES = 16_000_000  # one question's packed replies
MAX_PARTS = 200_000  # that they may consist of; an array is one
MAX_NUMBERS = 1_000_000  # in one array, characters in one string; of a larger one only its size is known
MAX_BITS = 64  # in one integer, likewise
# where nobody's own code lies: the course, Python's standard library, and what pip installs
_OTHERS = [Path(path).resolve() for path in (Path(__file__).parents[1], sysconfig.get_path("stdlib"))]
_INSTALLED = {"site-packages", "dist-packages"}
_KINDS = {"b", "i", "u", "f", "c"}


@dataclass(frozen=True)
class Array:
    """A tensor or array as data: `dtype` is PyTorch's name for it, `library` is "torch" or "numpy"."""

    data: np.ndarray
    dtype: str
    device: str = "cpu"
    library: str = "torch"


@dataclass(frozen=True)
class Other:
    """Something that is no value, known by its type's name only."""

    type: str


@dataclass(frozen=True)
class Reply:
    """What came back from one call: a value, or an error; and which arguments were changed in place."""

    value: Any = None
    error: str | None = None
    where: str | None = None
    changed: tuple[str, ...] = ()
    sample: bool = False

    def map(self, function: Callable[[Any], Any]) -> "Reply":
        """The reply with `function` applied to its value."""
        if self.error is not None or self.value is None:
            return self
        try:
            return replace(self, value=function(self.value))
        except (Exception, SystemExit) as error:
            return replace(self, value=None, error=f"{_name(error)} while its result was used: {_words(error)}")

    def as_sample(self) -> "Reply":
        """The reply, to be compared as a sample (n, d) of a law instead of number by number."""
        return replace(self, sample=True)

    def frozen(self) -> "Reply":
        """The reply with its value turned into plain data; what cannot be is known by its type only."""
        try:
            return replace(self, value=_freeze(self.value))
        except (Exception, SystemExit):  # an object may raise anything when it is looked at
            return replace(self, value=Other(type(self.value).__name__))


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Reply:
    """Call `function` with copies of the tensors among its arguments, come what may, and say what happened."""
    own = [arg.clone() if isinstance(arg, torch.Tensor) else arg for arg in args]
    try:
        value = _own(function(*own, **kwargs))
    except (Exception, SystemExit) as error:
        words = _words(error)
        return Reply(error=f"{_name(error)}: {words}" if words else _name(error), where=_line_of(error))
    tensors = [i for i, arg in enumerate(args) if isinstance(arg, torch.Tensor)]
    changed = [i for i in tensors if _differ(own[i], args[i])]
    return Reply(value=value, changed=tuple(_parameter(function, i) for i in changed))


def _own(value: Any) -> Any:
    """The value with its tensors copied: the function may write into them when it is called again."""
    if isinstance(value, torch.Tensor):
        return value.clone() if value.numel() <= MAX_NUMBERS else value  # of the large ones, the shape is enough
    return type(value)(map(_own, value)) if type(value) in (list, tuple) else value


def _parameter(function: Callable[..., Any], i: int) -> str:
    try:
        parameters = inspect.signature(function).parameters.values()
        return [each.name for each in parameters if each.kind <= each.POSITIONAL_OR_KEYWORD][i]
    except (TypeError, ValueError, IndexError):
        return f"argument {i + 1}"


def _differ(new: torch.Tensor, old: torch.Tensor) -> bool:
    try:
        return new.shape != old.shape or not torch.equal(torch.nan_to_num(new), torch.nan_to_num(old))
    except (RuntimeError, TypeError):  # of another dtype, on another device: no longer what was handed in
        return True


def _name(error: BaseException) -> str:
    return type(error).__name__


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except (Exception, SystemExit):  # a class of one's own may raise here too
        return ""


def _line_of(error: BaseException) -> str | None:
    """The last line of the student's own that the error passed through; None if it cannot be shown."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if line and _is_own(frame.filename):
            return f"line {frame.lineno}: {line}"
    return None


def _is_own(filename: str) -> bool:
    path = Path(filename).resolve()
    return not _INSTALLED & set(path.parts) and not any(path.is_relative_to(folder) for folder in _OTHERS)


def _freeze(value: Any, depth: int = 0) -> Any:
    if isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) > MAX_NUMBERS:
        return Other(f"{'tensor' if isinstance(value, torch.Tensor) else 'NumPy array'} of shape {tuple(value.shape)}")
    if isinstance(value, torch.Tensor):
        return _freeze_tensor(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in _KINDS:
        return Array(value.copy(), str(value.dtype), library="numpy")
    if type(value) is int and value.bit_length() > MAX_BITS:
        return Other(f"number of {value.bit_length():,} bits")
    if type(value) is str and len(value) > MAX_NUMBERS:
        return Other(f"string of {len(value):,} characters")
    if value is None or type(value) in (bool, int, float, complex, str):
        return value
    if isinstance(value, (list, tuple)) and depth < 6:
        return [_freeze(item, depth + 1) for item in value]
    if isinstance(value, dict) and depth < 6:
        return {str(key): _freeze(item, depth + 1) for key, item in value.items()}
    return Other(type(value).__name__)


def _freeze_tensor(tensor: torch.Tensor) -> Array | Other:
    if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
        kind = "meta" if tensor.is_meta else "quantized" if tensor.is_quantized else "sparse"
        return Other(f"{kind} tensor of shape {tuple(tensor.shape)}")
    plain = tensor.detach().resolve_conj().resolve_neg()
    plain = plain.float() if tensor.dtype in (torch.bfloat16, torch.float16) else plain
    return Array(plain.cpu().numpy().copy(), str(tensor.dtype).removeprefix("torch."), tensor.device.type)


# ---- bytes ----------------------------------------------------------------------------------------------------------


def pack(replies: dict[str, Reply]) -> bytes:
    """Frozen replies as bytes."""
    return json.dumps(encode(replies)).encode()


def unpack(data: bytes) -> dict[str, Reply]:
    """Replies from bytes that nobody vouches for.

    Raises ValueError with one sentence for anything but the output of `pack`.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"the answer is {len(data):,} bytes long; at most {MAX_BYTES:,} are read")
    if data.count(b",") > MAX_PARTS:  # as objects they would take fifty times the room
        raise ValueError(f"the answer has more than {MAX_PARTS:,} parts")
    try:
        return decode(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError, MemoryError) as error:
        raise ValueError(f"the answer cannot be read ({_name(error)})") from None


def read(data: bytes) -> dict[str, Reply]:
    """Replies from bytes that nobody vouches for; none if they cannot be read."""
    try:
        return unpack(data)
    except ValueError:
        return {}


def encode(replies: dict[str, Reply]) -> dict[str, Any]:
    """Frozen replies as what JSON can hold."""
    return {case: _encode_reply(reply) for case, reply in replies.items()}


def decode(data: dict[str, Any]) -> dict[str, Reply]:
    """The inverse of `encode`, for data that was checked by `unpack` or is our own."""
    return {str(case): _decode_reply(reply) for case, reply in data.items()}


def _encode_reply(reply: Reply) -> dict[str, Any]:
    return {
        "value": _encode(reply.value),
        "error": reply.error and reply.error[:2000],
        "where": reply.where and reply.where[:500],
        "changed": list(reply.changed),
        "sample": reply.sample,
    }


def _decode_reply(data: dict[str, Any]) -> Reply:
    def text(key: str) -> str | None:
        return None if data[key] is None else str(data[key])[:2000]

    changed = tuple(str(name)[:100] for name in data["changed"])
    return Reply(_decode(data["value"]), text("error"), text("where"), changed, bool(data["sample"]))


def _encode(value: Any) -> Any:
    if isinstance(value, Array):
        raw = np.ascontiguousarray(value.data)
        return {
            "array": base64.b64encode(raw.tobytes()).decode(),
            "numpy": raw.dtype.newbyteorder("<").str,
            "shape": list(value.data.shape),
            "dtype": value.dtype,
            "device": value.device,
            "library": value.library,
        }
    if isinstance(value, Other):
        return {"other": value.type}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[key, _encode(item)] for key, item in value.items()]}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        dtype = np.dtype(str(value["numpy"]))
        if dtype.kind not in _KINDS:
            raise ValueError("not a number's dtype")
        raw = base64.b64decode(value["array"], validate=True)
        data = np.frombuffer(raw, dtype).reshape([int(size) for size in value["shape"]])
        return Array(data, str(value["dtype"]), str(value["device"]), str(value["library"]))
    if "other" in value:
        return Other(str(value["other"])[:100])
    if "complex" in value:
        return complex(*(float(part) for part in value["complex"]))
    return {str(key): _decode(item) for key, item in value["dict"]}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The parts of a frozen value that are not lists or dicts, with names in words: "", "part 2", "entry 'mean'"."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from leaves(item, f"{name} part {i + 1}".strip())
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name} entry {key!r}".strip())
    else:
        yield name, value
