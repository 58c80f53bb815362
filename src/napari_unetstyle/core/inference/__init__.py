"""Network on pixels: exact, streamed, with image-level statistics."""
