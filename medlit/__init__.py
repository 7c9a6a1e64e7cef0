"""medlit: adapt vision foundation models to multimodal medical images, and learn whether it helped."""

__version__ = "0.1.0"
