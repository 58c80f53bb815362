"""Image to labels."""
