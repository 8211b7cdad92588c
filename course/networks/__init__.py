"""Networks that learn fields, images and texts: a module for each kind."""

from course.networks.mlp import MLP

__all__ = ["MLP"]
