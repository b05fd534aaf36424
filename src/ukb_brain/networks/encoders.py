"""Former home of the light encoders and of the network that joins them."""

from ukb_brain.networks.fusion import JointNetwork
from ukb_brain.networks.light import VolumeEncoder
from ukb_brain.networks.vectors import VectorEncoder

__all__ = ["JointNetwork", "VectorEncoder", "VolumeEncoder"]
