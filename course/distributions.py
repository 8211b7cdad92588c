"""Distributions that are known exactly (Gaussians and their mixtures) and toys to learn from."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

# Numbers in a block of points x components: small enough for the cache, large enough for a matrix product.
BLOCK_NUMBERS = 2**17


class Gaussian:
    """The normal distribution N(mean, covariance) in d dimensions.

    mean: (d,).  covariance: (d, d), symmetric and positive definite, or a positive number v for v I.
    Raises ValueError otherwise.  Device and dtype are those of mean.
    """

    def __init__(self, mean: Tensor, covariance: float | Tensor):
        _check_floats("mean", mean, "(d,)", ndim=1)
        d = len(mean)
        covariance = torch.as_tensor(covariance, dtype=mean.dtype, device=mean.device)
        if covariance.shape not in ((), (d, d)):
            raise ValueError(
                f"covariance has shape {tuple(covariance.shape)}; wanted a number or {(d, d)}, for the mean."
            )
        if covariance.ndim == 0:
            covariance = covariance * torch.eye(d, dtype=mean.dtype, device=mean.device)
        self._cholesky = _cholesky("covariance", covariance)
        self.mean, self.covariance, self.dim = mean, covariance, d

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; mean, covariance), (n,), for x (n, d)."""
        _check_points(x, self.mean)
        L = self._cholesky
        z = torch.linalg.solve_triangular(L, (x - self.mean).mT, upper=False)
        log_det = 2 * L.diagonal().log().sum()
        return -0.5 * (z.square().sum(0) + log_det + self.dim * math.log(2 * math.pi))

    def score(self, x: Tensor) -> Tensor:
        """The gradient of the log-density, -covariance^-1 (x - mean), (n, d), for x (n, d)."""
        _check_points(x, self.mean)
        return -torch.cholesky_solve((x - self.mean).mT, self._cholesky).mT

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n, d)."""
        noise = torch.randn(_count(n), self.dim, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + noise @ self._cholesky.mT

    def to(self, *args, **kwargs) -> "Gaussian":
        """The same distribution on another device or in another dtype; arguments as for torch.Tensor.to."""
        return Gaussian(self.mean.to(*args, **kwargs), self.covariance.to(*args, **kwargs))


class GaussianMixture:
    """The mixture sum_k weights[k] N(means[k], covariances[k]) of K Gaussians in d dimensions.

    weights: (K,), not negative, sum 1.  means: (K, d).  covariances: (K, d, d), each symmetric and positive
    definite; or (K,) positive variances v for v[k] I; or one number for all.  Raises ValueError otherwise.
    Device and dtype are those of means.

    log_prob, score and responsibilities take any x (n, d), however far from the modes, in bounded memory.
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: float | Tensor):
        _check_floats("means", means, "(K, d)", ndim=2)
        K, d = means.shape
        weights = torch.as_tensor(weights, dtype=means.dtype, device=means.device)
        covariances = torch.as_tensor(covariances, dtype=means.dtype, device=means.device)
        if covariances.ndim == 0:
            covariances = covariances.expand(K)
        if weights.shape != (K,):
            raise ValueError(f"weights has shape {tuple(weights.shape)}; wanted {(K,)}, to fit the means.")
        total = weights.double().sum() if weights.device.type != "mps" else weights.sum()
        if not ((weights >= 0).all() and abs(total - 1) < 1e-5):
            raise ValueError(
                f"weights sum to {float(total):g}, the least is {float(weights.min()):g}; "
                "wanted numbers that are not negative and sum to 1."
            )
        if covariances.shape not in ((K,), (K, d, d)):
            raise ValueError(
                f"covariances has shape {tuple(covariances.shape)}; wanted {(K, d, d)}, variances {(K,)} "
                "or a number, to fit the means."
            )
        self.weights, self.means, self.covariances, self.dim = weights, means, covariances, d
        self._prepare()

    def _prepare(self) -> None:
        # log w_k + log N(x; m_k, C_k) = log w_k - (d log 2 pi + log det C_k + m'Pm) / 2 + (P m)'x
        # - x'Px / 2, with P = C_k^-1, is linear in the features (x, xx'): one matrix product gives it for all
        # n and k. The terms cancel to a small difference when C_k is small, hence float64 (which mps does not have).
        exact = torch.float32 if self.means.device.type == "mps" else torch.float64
        m, C, w = self.means.to(exact), self.covariances.to(exact), self.weights.to(exact)
        if C.ndim == 1:
            if not (C > 0).all():
                raise ValueError(f"covariances holds the variance {float(C.min()):g}; wanted positive ones.")
            P = 1 / C[:, None]
            Pm, log_det, quadratic = P * m, self.dim * C.log(), P
            self._scale = self.covariances.sqrt()
        else:
            L = _cholesky("covariances", C)
            P = torch.cholesky_inverse(L)
            Pm, log_det = (P @ m[..., None])[..., 0], 2 * L.diagonal(dim1=-2, dim2=-1).log().sum(-1)
            quadratic = P.flatten(1)
            self._scale = L.to(self.means)
        mPm = (Pm * m).sum(-1)
        self._constant = (w / w.sum()).log() - (self.dim * math.log(2 * math.pi) + log_det + mPm) / 2
        self._linear = torch.cat([Pm, -quadratic / 2], dim=1).mT.contiguous()
        self._moments = torch.cat([Pm, quadratic, torch.ones_like(w)[:, None]], dim=1).to(self.means)

    @classmethod
    def ring(cls, k: int, radius: float = 2.0, std: float = 0.2) -> "GaussianMixture":
        """k equal modes of standard deviation std, evenly on a circle, the first at (radius, 0)."""
        angle = 2 * math.pi * torch.arange(_count(k), dtype=torch.float64) / k
        means = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
        return cls(torch.full((k,), 1 / k), means.float(), std**2)

    @classmethod
    def grid(cls, side: int, spacing: float = 1.0, std: float = 0.1) -> "GaussianMixture":
        """side x side equal modes of standard deviation std, on a square grid centred on the origin."""
        ticks = spacing * (torch.arange(_count(side)) - (side - 1) / 2)
        return cls(torch.full((side**2,), 1 / side**2), torch.cartesian_prod(ticks, ticks), std**2)

    @property
    def mean(self) -> Tensor:
        """The mixture's mean, (d,)."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """The mixture's covariance, (d, d): that within the components plus that between their means."""
        C = self.covariances
        eye = torch.eye(self.dim, dtype=C.dtype, device=C.device)
        within = (self.weights @ C) * eye if C.ndim == 1 else torch.einsum("k,kij->ij", self.weights, C)
        apart = self.means - self.mean
        return within + torch.einsum("k,ki,kj->ij", self.weights, apart, apart)

    def log_prob(self, x: Tensor) -> Tensor:
        """log sum_k weights[k] N(x; means[k], covariances[k]), (n,), for x (n, d)."""
        return torch.cat([(e.sum(1).log() + peak).to(x.dtype) for _, e, peak in self._joint(x)])

    def responsibilities(self, x: Tensor) -> Tensor:
        """The probability that x came from component k, (n, K), for x (n, d); rows sum to 1."""
        return torch.cat([e / e.sum(1, keepdim=True) for _, e, _ in self._joint(x)])

    def score(self, x: Tensor) -> Tensor:
        """The gradient of the log-density, sum_k r_k(x) C_k^-1 (m_k - x), (n, d), for x (n, d)."""
        d, parts = self.dim, []
        for block, e, _ in self._joint(x):
            Pm, P, total = (e @ self._moments).tensor_split((d, -1), dim=1)
            Px = P * block if P.shape[1] == 1 else (P.unflatten(1, (d, d)) @ block[..., None])[..., 0]
            parts.append((Pm - Px) / total)
        return torch.cat(parts)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n, d), in random order."""
        k = torch.multinomial(self.weights, _count(n), replacement=True, generator=generator)
        x = torch.randn(n, self.dim, generator=generator, dtype=self.means.dtype, device=self.means.device)
        if self._scale.ndim == 1:
            return x.mul_(self._scale[k, None]).add_(self.means[k])
        rows = max(1, BLOCK_NUMBERS // self.dim**2)
        for xs, ks in zip(x.split(rows), k.split(rows), strict=True):
            xs.copy_((self._scale[ks] @ xs[..., None])[..., 0])
        return x.add_(self.means[k])

    def marginal(self, alpha: float | Tensor, beta: float | Tensor) -> "GaussianMixture":
        """The law of x = alpha z + beta eps for z from this mixture and eps ~ N(0, I): again a mixture.

        Its means are alpha m_k, its covariances alpha^2 C_k + beta^2 I.  alpha, beta: float or 0-d,
        the same for all samples.  Raises ValueError if both are 0.
        """
        alpha, beta = _scalar("alpha", alpha), _scalar("beta", beta)
        if not (math.isfinite(alpha) and math.isfinite(beta)) or alpha == beta == 0:
            raise ValueError(f"alpha is {alpha:g} and beta {beta:g}; wanted finite numbers that are not both 0.")
        C = alpha**2 * self.covariances
        eye = 1.0 if C.ndim == 1 else torch.eye(self.dim, dtype=C.dtype, device=C.device)
        return GaussianMixture(self.weights, alpha * self.means, C + beta**2 * eye)

    def to(self, *args, **kwargs) -> "GaussianMixture":
        """The same distribution on another device or in another dtype; arguments as for torch.Tensor.to."""
        return GaussianMixture(*(v.to(*args, **kwargs) for v in (self.weights, self.means, self.covariances)))

    def _joint(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Blocks of x, with weights[k] N(x; ...) over the greatest of them, and the log of that greatest."""
        _check_points(x, self.means)
        for block in x.split(max(1, BLOCK_NUMBERS // max(len(self.weights), self.dim**2))):
            y = block.to(self._linear.dtype)
            isotropic = self.covariances.ndim == 1
            squares = y.square().sum(1, keepdim=True) if isotropic else (y[:, :, None] * y[:, None]).flatten(1)
            joint = torch.addmm(self._constant, torch.cat([y, squares], dim=1), self._linear)
            peak = joint.detach().amax(1)
            yield block, joint.sub_(peak[:, None]).to(x.dtype).exp_(), peak


class Moons:
    """Two interleaving half circles, from scikit-learn, centred on the origin.

    noise >= 0: standard deviation of what is added to each point;  scale > 0: the half circles' radius.
    Raises ValueError otherwise.
    """

    dim = 2

    def __init__(self, noise: float = 0.05, scale: float = 1.0):
        self.noise, self.scale = _range("noise", noise, least=0), _range("scale", scale, above=0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n, 2), float32, on the generator's device; half of them from each moon."""
        from sklearn.datasets import make_moons

        x, _ = make_moons(_count(n), noise=self.noise / self.scale, random_state=_random_state(generator))
        return self.scale * (_from_numpy(x, generator) - torch.tensor([0.5, 0.25], device=_device(generator)))


class Circles:
    """Two circles about the origin, from scikit-learn: radius scale and, inside it, half of that.

    noise >= 0: standard deviation of what is added to each point;  scale > 0.  Raises ValueError otherwise.
    """

    dim = 2

    def __init__(self, noise: float = 0.05, scale: float = 1.0):
        self.noise, self.scale = _range("noise", noise, least=0), _range("scale", scale, above=0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n, 2), float32, on the generator's device; half of them from each circle."""
        from sklearn.datasets import make_circles

        x, _ = make_circles(_count(n), factor=0.5, noise=self.noise / self.scale, random_state=_random_state(generator))
        return self.scale * _from_numpy(x, generator)


class Checkerboard:
    """Uniform on every other square of a board with `cells` x `cells` squares on [-half_width, half_width]^2.

    The lower left square is one of them.  cells: even, at least 2;  half_width > 0.
    Raises ValueError otherwise.
    """

    dim = 2

    def __init__(self, cells: int = 4, half_width: float = 2.0):
        if not isinstance(cells, int) or cells < 2 or cells % 2:
            raise ValueError(f"cells is {cells!r}; wanted an even number, at least 2.")
        self.cells, self.half_width = cells, _range("half_width", half_width, above=0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n, 2), float32, on the generator's device."""
        device = _device(generator)
        row = torch.randint(self.cells, (_count(n),), generator=generator, device=device)
        column = 2 * torch.randint(self.cells // 2, (n,), generator=generator, device=device) + row % 2
        x = torch.stack([column, row], dim=1) + torch.rand(n, 2, generator=generator, device=device)
        return self.half_width * (2 * x / self.cells - 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """The log-density, -log(2 half_width^2) on the squares and -inf elsewhere, (n,), for x (n, 2)."""
        _check_floats("x", x, "(n, 2)", ndim=2, last=2)
        square = ((x / self.half_width + 1) * self.cells / 2).floor()
        on = ((square >= 0) & (square < self.cells)).all(1) & (square.sum(1) % 2 == 0)
        inside = torch.full_like(x[:, 0], -math.log(2 * self.half_width**2))
        return torch.where(on, inside, -math.inf)


class Spiral:
    """An Archimedean spiral about the origin: radius scale * s at the angle 2 pi turns s, for 0 < s < 1.

    s is the square root of a uniform number, which spreads the points almost evenly along the curve.
    noise >= 0: standard deviation of what is added to each point;  turns, scale > 0.
    Raises ValueError otherwise.
    """

    dim = 2

    def __init__(self, turns: float = 2.0, noise: float = 0.03, scale: float = 2.0):
        self.noise = _range("noise", noise, least=0)
        self.turns, self.scale = _range("turns", turns, above=0), _range("scale", scale, above=0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws, (n, 2), float32, on the generator's device."""
        device = _device(generator)
        s = torch.rand(_count(n), generator=generator, device=device).sqrt()
        angle = 2 * math.pi * self.turns * s
        curve = self.scale * s[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
        return curve + self.noise * torch.randn(n, 2, generator=generator, device=device)


def _cholesky(name: str, covariance: Tensor) -> Tensor:
    """The lower factor L with L L' = covariance, (..., d, d)."""
    if not torch.allclose(covariance, covariance.mT, rtol=1e-4, atol=1e-6 * float(covariance.abs().max())):
        raise ValueError(f"{name} is not symmetric; wanted symmetric and positive definite.")
    L, failed = torch.linalg.cholesky_ex(covariance)
    if failed.any():
        least = float(torch.linalg.eigvalsh(covariance).min())
        raise ValueError(f"{name} has the eigenvalue {least:g}; wanted symmetric and positive definite.")
    return L


def _check_floats(name: str, x: Tensor, wanted: str, ndim: int, last: int | None = None) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} is a {type(x).__name__}; wanted a floating-point tensor {wanted}.")
    if x.ndim != ndim or not x.is_floating_point() or 0 in x.shape[ndim == 2 and last is not None :]:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)} and dtype {x.dtype}; wanted a floating-point tensor {wanted}."
        )
    if last is not None and x.shape[-1] != last:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; wanted {wanted}.")


def _check_points(x: Tensor, like: Tensor) -> None:
    d = like.shape[-1]
    _check_floats("x", x, f"(n, {d})", ndim=2, last=d)
    if x.dtype != like.dtype or x.device != like.device:
        raise ValueError(
            f"x is {x.dtype} on {x.device} and the distribution {like.dtype} on {like.device}; "
            "wanted the same: distribution.to(x.device, x.dtype)."
        )


def _count(n: int) -> int:
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"The number asked for is {n!r}; wanted an integer, at least 1.")
    return n


def _scalar(name: str, value: float | Tensor) -> float:
    if isinstance(value, Tensor) and value.ndim > 0:
        raise ValueError(f"{name} has shape {tuple(value.shape)}; wanted one number for all samples.")
    return float(value)


def _range(name: str, value: float, least: float = -math.inf, above: float = -math.inf) -> float:
    if not (value >= least and above < value < math.inf):
        wanted = f"at least {least}" if least > -math.inf else f"more than {above}"
        raise ValueError(f"{name} is {value!r}; wanted a number, {wanted}.")
    return float(value)


def _device(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device


def _random_state(generator: torch.Generator | None) -> int:
    return int(torch.randint(2**31, (), generator=generator, device=_device(generator)))


def _from_numpy(x, generator: torch.Generator | None) -> Tensor:
    return torch.from_numpy(x).to(device=_device(generator), dtype=torch.float32)
