"""The headless core."""
