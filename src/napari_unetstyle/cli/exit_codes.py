"""What a command that ends means to a script."""

SOME_FAILED = 1
BAD_INPUT = ALL_FAILED = 2
STOPPED = 130
"""From the keyboard, as shells have it."""
