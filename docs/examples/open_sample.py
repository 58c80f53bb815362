"""Open napari with a sample picture and the dock: ``python docs/examples/open_sample.py``."""

from __future__ import annotations

import napari

if __name__ == "__main__":
    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-unetstyle")
    viewer.open_sample("napari-unetstyle", "nuclei-fluorescence")
    napari.run()
