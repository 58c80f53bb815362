"""Image to image: what another scanner, stain or microscope would have made of it; the labels stay as they are."""
