"""Labels to model."""
