"""Networks, as modules only."""
