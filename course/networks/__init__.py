"""Networks that learn fields, images and texts: a module for each kind."""

from course.networks.classifier import Classifier
from course.networks.mlp import MLP
from course.networks.unet import UNet

__all__ = ["MLP", "Classifier", "UNet"]
