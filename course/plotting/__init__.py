"""Figures of the course, in one visual language.

Noise is grey-blue, data is orange, the model is green, the truth is black; time goes from left to right.

    from course import plotting as plot

    fig, ax = plot.figure()
    plot.density(ax, mixture.log_prob, bounds=4)
    plot.samples(ax, x)
    ax.set_title("The samples follow the density")
    plot.show(fig, alt="Samples of a mixture over the contours of its density.")

Every drawing function takes the Axes first, draws one thing, and accepts numpy arrays or tensors
of any device.
"""

from course.plotting.clouds import origins, signed_map, snapshots, time_color
from course.plotting.curves import histogram, orders
from course.plotting.images import image_grid, loss_over_time, over_scale
from course.plotting.learning import distance_by_steps, error_over_time, loss_curve, pairs
from course.plotting.over_time import band, curve, occupancy, paths, quadratic_variation, side_histogram
from course.plotting.plane import density, samples, slope_field, stability_regions, trajectories, vector_field
from course.plotting.style import ACCENTS, DATA, MODEL, NOISE, TRUTH, figure, label, png, show
from course.plotting.tree import accuracy_by_tokens, beliefs, hover_tree, knob_map, regret, search_tree, visits

__all__ = [
    "ACCENTS",
    "DATA",
    "MODEL",
    "NOISE",
    "TRUTH",
    "accuracy_by_tokens",
    "band",
    "beliefs",
    "curve",
    "density",
    "distance_by_steps",
    "error_over_time",
    "figure",
    "histogram",
    "hover_tree",
    "image_grid",
    "knob_map",
    "label",
    "loss_curve",
    "loss_over_time",
    "occupancy",
    "orders",
    "origins",
    "over_scale",
    "pairs",
    "paths",
    "png",
    "quadratic_variation",
    "regret",
    "samples",
    "search_tree",
    "show",
    "side_histogram",
    "signed_map",
    "slope_field",
    "snapshots",
    "stability_regions",
    "time_color",
    "trajectories",
    "vector_field",
    "visits",
]
