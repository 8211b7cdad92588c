"""Which noise belongs to which data: pairings that make the paths between them straighter."""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from course.paths import Field
from course.sampling import sample_flow
from course.solvers import rk4_step


def ot_pairing(x: Tensor, z: Tensor) -> Tensor:
    """Indices such that pairing x[i] with z[indices[i]] has the least total squared distance, (n,), int64.

    x, z: (n, ...).  z[indices] is z reordered.  Exact; time grows as n^3 at worst.  Raises ValueError for different
    shapes.  Minibatch optimal transport: Tong et al. (2024); Pooladian et al. (2023).
    """
    if x.shape != z.shape or x.ndim < 2:
        raise ValueError(f"x has shape {tuple(x.shape)} and z {tuple(z.shape)}; wanted the same, (n, ...).")
    # |x - z|^2 = |x|^2 + |z|^2 - 2 x.z, and the sums of the first two are the same for every pairing.
    products = x.detach().flatten(1).double().cpu() @ z.detach().flatten(1).double().cpu().T
    return torch.from_numpy(linear_sum_assignment(products.numpy(), maximize=True)[1]).to(x.device)


def reflow_pairs(u: Field, x0: Tensor, t: Tensor, step: Callable[..., Tensor] = rk4_step) -> tuple[Tensor, Tensor]:
    """(x0, x1): starting points and where the flow of u takes them along the grid t, both (n, ...).

    A flow trained on these pairs has straighter paths and the same law of x1.  Liu, Gong & Liu (2023).
    """
    return x0, sample_flow(u, x0, t, step)


def straightness(xs: Tensor, t: Tensor) -> float:
    """The mean over samples and time of |(x_1 - x_0) - v_t|^2 along trajectories xs (m+1, n, ...), grid t (m+1,).

    v_t is the velocity of a step, (x_{i+1} - x_i) / (t_{i+1} - t_i), and counts for as long as the step lasts.  0 if
    and only if every path is straight and of constant speed.  S(Z) of Liu, Gong & Liu (2023), where t runs from 0
    to 1; on another interval x_1 - x_0 is divided by its length.  Raises ValueError if xs and t do not fit.
    """
    if t.ndim != 1 or len(t) < 2 or xs.ndim < 2 or len(xs) != len(t):
        raise ValueError(f"xs has shape {tuple(xs.shape)} and t {tuple(t.shape)}; wanted (m+1, n, ...) and (m+1,).")
    xs, h = xs.double() if xs.device.type != "mps" else xs, t.diff().to(xs.device)
    v = xs.diff(dim=0).flatten(2) / h[:, None, None]
    mean_velocity = (xs[-1] - xs[0]).flatten(1) / h.sum()
    squares = (mean_velocity - v).square().sum(-1).mean(1)
    return float((h * squares).sum() / h.sum())
