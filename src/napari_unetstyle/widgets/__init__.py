"""The dock: the only code that imports napari or Qt."""
