"""Losses along a path, as in `course.checking.lab3`."""

import torch

from course.shapes import expand_time


def _a(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    gap = (d_alpha * z + d_beta * noise) - model(alpha * z + beta * noise, t)
    return torch.stack([each.flatten().dot(each.flatten()) for each in gap]).mean()


def _b(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    gap = (d_alpha * z + d_beta * noise) - model(alpha * z + beta * noise, t)
    return gap.square().flatten(1).sum(1).mean() / 2


def _c(model, schedule, z, t, noise):
    alpha, _, d_alpha, d_beta = schedule(expand_time(t, z))
    gap = (d_alpha * z + d_beta * noise) - model(alpha * z, t)
    return gap.square().flatten(1).sum(1).mean()


def _d(model, schedule, z, t, noise):
    alpha, beta, d_alpha, d_beta = schedule(expand_time(t, z))
    gap = model(torch.addcmul(beta * noise, alpha, z), t) - torch.addcmul(d_beta * noise, d_alpha, z)
    return gap.flatten(1).pow(2).sum() / z.shape[0]


SUBJECTS = [_d, _b, _a, _c]
