"""UNet segmentation, teaching and style augmentation for napari (research use only, not a medical device)."""

__version__ = "0.1.0"
