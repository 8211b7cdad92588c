"""Numerical solvers: one-step rules for ODEs and SDEs, and the one loop that runs any of them.

A step rule takes the field first, so that `functools.partial(rk4_step, u)` is a step `step(x, t, h)` of an
ODE and `partial(euler_maruyama_step, u, sigma)` a step `step(x, t, h, noise)` of an SDE.
`simulate` runs either.
"""

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor

Time = float | Tensor
Field = Callable[[Tensor, Time], Tensor]

# Numbers in a chunk's state. ODE: 2048 points of the plane; what a network makes of them stays in the cache.
# An SDE step is often many cheap calls; a larger chunk pays for them, and is hardly slower through a network.
ODE_CHUNK, SDE_CHUNK = 4096, 16384


def euler_step(u: Field, x: Tensor, t: Time, h: Time) -> Tensor:
    """One explicit Euler step of dx/dt = u(x, t): order 1, one evaluation.

    x: (n, ...);  t, h: float or 0-d.  Returns x at time t + h, (n, ...).
    Hairer, Norsett & Wanner (1993), I.7.
    """
    return x + h * u(x, t)


def heun_step(u: Field, x: Tensor, t: Time, h: Time) -> Tensor:
    """One Heun step (explicit trapezoid) of dx/dt = u(x, t): order 2, two evaluations.

    x: (n, ...);  t, h: float or 0-d.  Returns x at time t + h, (n, ...).
    Hairer, Norsett & Wanner (1993), II.1.
    """
    k1 = u(x, t)
    k2 = u(x + h * k1, t + h)
    return x + h / 2 * (k1 + k2)


def midpoint_step(u: Field, x: Tensor, t: Time, h: Time) -> Tensor:
    """One explicit midpoint step of dx/dt = u(x, t): order 2, two evaluations.

    x: (n, ...);  t, h: float or 0-d.  Returns x at time t + h, (n, ...).
    Hairer, Norsett & Wanner (1993), II.1 (Runge's method).
    """
    return x + h * u(x + h / 2 * u(x, t), t + h / 2)


def rk4_step(u: Field, x: Tensor, t: Time, h: Time) -> Tensor:
    """One step of the classical Runge-Kutta method for dx/dt = u(x, t): order 4, four evaluations.

    x: (n, ...);  t, h: float or 0-d.  Returns x at time t + h, (n, ...).
    Kutta (1901); Hairer, Norsett & Wanner (1993), II.1, table 1.2.
    """
    k1 = u(x, t)
    k2 = u(x + h / 2 * k1, t + h / 2)
    k3 = u(x + h / 2 * k2, t + h / 2)
    k4 = u(x + h * k3, t + h)
    return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def euler_maruyama_step(u: Field, sigma: Callable[[Time], Time], x: Tensor, t: Time, h: Time, noise: Tensor) -> Tensor:
    """One Euler-Maruyama step of dX = u(X, t) dt + sigma(t) dW.

    x, noise: (n, ...), noise ~ N(0, I);  t, h: float or 0-d;  sigma(t): float or 0-d.
    Returns x at time t + h, (n, ...).
    Kloeden & Platen (1992), section 10.2: weak order 1; strong order 1/2 if sigma depended on X, here 1.
    """
    return x + h * u(x, t) + sigma(t) * h**0.5 * noise


def milstein_step(u: Field, b: Field, db: Field, x: Tensor, t: Time, h: Time, noise: Tensor) -> Tensor:
    """One Milstein step of dX = u(X, t) dt + b(X, t) dW, each coordinate with its own noise.

    x, noise: (n, ...), noise ~ N(0, I);  t, h: float or 0-d;  b(x, t) and db(x, t), its derivative in x, are
    like x, coordinate by coordinate.  Returns x at time t + h, (n, ...).
    Kloeden & Platen (1992), section 10.3: strong order 1.  db = 0 is Euler-Maruyama, of strong order 1/2.
    """
    bx = b(x, t)
    return x + h * u(x, t) + bx * h**0.5 * noise + h / 2 * bx * db(x, t) * (noise**2 - 1)


def simulate(
    step: Callable[..., Tensor],
    x: Tensor,
    t: Tensor,
    *,
    keep: Literal["all", "last"] | Iterable[int] = "all",
    generator: torch.Generator | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Run a step rule from x along the time grid t.

    step: step(x, t, h) of an ODE or step(x, t, h, noise) of an SDE, told apart by a fourth parameter named
        noise. It is handed t as a 0-d tensor like x, h as a float, and fresh N(0, I) noise shaped like x.
    x: (n, ...), the states at t[0].  t: (m+1,), increasing (or decreasing, for an ODE), steps of any length.
    keep: "all" -> the trajectory, (m+1, n, ...); "last" -> the states at t[-1], (n, ...);
        indices into the grid, counted as in a list -> those states in that order, (len(keep), n, ...).
    generator: where an SDE's noise comes from (torch's global one if None).
    chunk: how many samples are integrated together, over the whole grid, before the next ones, so that they
        stay in the processor's cache. None chooses by the size of a sample (all at once on a GPU). A field
        that holds something about each sample, such as labels, must see all of them: chunk=len(x). An SDE's
        noise depends on it; for a given generator and chunk the result is always the same.

    Results follow x's device and dtype and carry no gradient; a field that needs one inside asks for it with
    `torch.enable_grad()`. NaN or infinity underway is no error.
    Raises ValueError for a step of neither kind or one that changes shape or dtype, and for x, t, keep or
    chunk that are not as described.
    """
    is_sde = _is_sde(step)
    _check_state_and_grid(x, t, is_sde)
    n, last = len(x), len(t) - 1
    rows = _kept_rows(keep, last)
    chunk = _auto_chunk(x, is_sde) if chunk is None else chunk
    if not isinstance(chunk, int) or chunk < 1:
        raise ValueError(f"chunk is {chunk!r}; wanted a positive number of samples, or None.")

    times, steps = t[:-1].to(x.real).unbind(), t.diff().tolist()
    kept = x.new_empty((len(rows), *x.shape))
    with torch.no_grad():  # not inference_mode, inside which a field could not differentiate
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            try:
                _integrate(step, is_sde, x[part].clone(), times, steps, rows, kept[:, part].unbind(), generator)
            except RuntimeError as error:
                if chunk < n:
                    error.add_note(
                        f"simulate ran this step on {len(x[part])} of the {n} samples. If its field holds "
                        f"something about each sample (labels, say), pass chunk={n}."
                    )
                raise
    return kept[0] if isinstance(keep, str) and keep == "last" else kept


def _integrate(
    step: Callable[..., Tensor],
    is_sde: bool,
    state: Tensor,
    times: Sequence[Tensor],
    steps: Sequence[float],
    rows: dict[int, int],
    kept: Sequence[Tensor],
    generator: torch.Generator | None,
) -> None:
    """Integrate one chunk; the state at index i of the grid, if it is kept, goes to kept[rows[i]]."""
    noise = torch.empty_like(state)
    if 0 in rows:
        kept[rows[0]].copy_(state)
    for i, (t, h) in enumerate(zip(times, steps, strict=True), start=1):
        new = step(state, t, h, noise.normal_(generator=generator)) if is_sde else step(state, t, h)
        _check_step(new, state)
        if new is noise:  # the rule worked in place: what it made must outlive the next draw
            noise = torch.empty_like(noise)
        state = new
        if i in rows:
            kept[rows[i]].copy_(state)


def _is_sde(step: Callable[..., Tensor]) -> bool:
    """Whether a step rule wants noise: its fourth positional parameter is called so."""
    try:
        parameters = inspect.signature(step).parameters.values()
    except (TypeError, ValueError):
        raise ValueError(f"step is {step!r}; wanted a function step(x, t, h) or step(x, t, h, noise).") from None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword_only = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    required = [p for p in positional if p.default is p.empty]
    if not keyword_only and len(required) == 3 and [p.name for p in positional[3:4]] != ["noise"]:
        return False
    if not keyword_only and len(required) <= 4 <= len(positional) and positional[3].name == "noise":
        return True
    raise ValueError(
        f"step has the parameters {inspect.signature(step)}; wanted (x, t, h) for an ODE or (x, t, h, noise) "
        "for an SDE. A rule that takes a field is bound first: partial(euler_step, u)."
    )


def _check_state_and_grid(x: Tensor, t: Tensor, is_sde: bool) -> None:
    if not isinstance(x, Tensor) or x.ndim == 0 or not (x.is_floating_point() or x.is_complex()):
        given = f"a tensor of shape {tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise ValueError(f"x is {given}; wanted a floating-point tensor of samples, (n, ...).")
    if not isinstance(t, Tensor) or t.ndim != 1 or len(t) == 0 or not t.is_floating_point():
        given = f"a tensor of shape {tuple(t.shape)}, {t.dtype}" if isinstance(t, Tensor) else f"a {type(t).__name__}"
        raise ValueError(f"t is {given}; wanted a time grid, a floating-point tensor of shape (m+1,).")
    if not t.isfinite().all():
        raise ValueError(f"t holds NaN or infinity, at index {int((~t.isfinite()).nonzero()[0])}; wanted finite times.")
    # an ODE runs backwards as well; Brownian motion does not
    forward = is_sde or len(t) < 2 or bool(t[1] > t[0])
    wrong = t.diff() <= 0 if forward else t.diff() >= 0
    if wrong.any():
        i = int(wrong.nonzero()[0])
        raise ValueError(
            f"t goes from {float(t[i]):g} to {float(t[i + 1]):g} at index {i}; "
            f"wanted times that {'increase' if forward else 'decrease'} at every step."
        )


def _kept_rows(keep: str | Iterable[int], last: int) -> dict[int, int]:
    """Which row of the result holds the state at which index of the grid."""
    if isinstance(keep, str):
        if keep == "all":
            return {i: i for i in range(last + 1)}
        if keep == "last":
            return {last: 0}
        raise ValueError(f'keep is {keep!r}; wanted "all", "last" or a list of indices into the time grid.')
    try:
        indices = [operator.index(i) for i in keep]
    except TypeError:
        raise ValueError(f'keep is {keep!r}; wanted "all", "last" or a list of indices into the time grid.') from None
    rows = {i % (last + 1): row for row, i in enumerate(indices) if -last - 1 <= i <= last}
    if len(rows) < len(indices):
        raise ValueError(f"keep is {indices}; wanted different indices into a time grid of {last + 1} times.")
    return rows


def _auto_chunk(x: Tensor, is_sde: bool) -> int:
    if x.device.type != "cpu":
        return max(1, len(x))
    return max(32, (SDE_CHUNK if is_sde else ODE_CHUNK) // max(1, x[:1].numel()))


def _check_step(new: Tensor, state: Tensor) -> None:
    if not isinstance(new, Tensor):
        raise ValueError(f"The step returned a {type(new).__name__}; wanted the next states, a tensor like x.")
    if new.shape != state.shape or new.dtype != state.dtype:
        raise ValueError(
            f"The step turned x of shape {tuple(state.shape)}, {state.dtype}, into shape {tuple(new.shape)}, "
            f"{new.dtype}; wanted the same. Does the field return one value per value of x?"
        )
