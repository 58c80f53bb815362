"""What ``napari-unetstyle segment`` takes on its command line: types, names and help of its arguments and options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PICTURE, _WHAT, _WHERE, _HOW, _FILES = "Picture", "What to find", "Where", "How to run", "What to write"

Pictures = Annotated[
    list[Path],
    typer.Argument(help="Files, folders (with subfolders) or patterns: TIFF, slides, PNG, JPEG, NIfTI, NRRD, DICOM…"),
]
OutputFolder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results; names and subfolders are kept.")
]
ModelName = Annotated[
    str, typer.Option("--model", "-m", help="Name (see [models list]), name@version, or a model folder.")
]
Objects = Annotated[bool, typer.Option("--objects", help="Each object gets its own number.", rich_help_panel=_WHAT)]
Areas = Annotated[bool, typer.Option("--areas", help="Each pixel gets the number of its class.", rich_help_panel=_WHAT)]
Threshold = Annotated[
    float | None,
    typer.Option(help="Probability (0-1) from which a pixel counts. [default: the model's]", rich_help_panel=_WHAT),
]
MinPixels = Annotated[
    int | None,
    typer.Option(help="Drop smaller objects or areas. [default: the model's]", min=0, rich_help_panel=_WHAT),
]
MinSize = Annotated[
    str | None,
    typer.Option(help="The same as a size: '30 mm3' in volumes, '12.5 um2' in pictures.", rich_help_panel=_WHAT),
]
KeepLargest = Annotated[
    bool | None,
    typer.Option(
        "--keep-largest/--no-keep-largest",
        help="Of areas, only the largest one of each class. [default: the model's]",
        rich_help_panel=_WHAT,
    ),
]
FillHoles = Annotated[
    bool | None,
    typer.Option(
        "--fill-holes/--no-fill-holes",
        help="Holes are filled: all in areas, small ones in objects. [default: the model's]",
        rich_help_panel=_WHAT,
    ),
]
ObjectDiameter = Annotated[
    float | None,
    typer.Option(
        help="Diameter of a typical object in pixels of the picture. [default: estimated]", rich_help_panel=_WHAT
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        help="Take one channel only: number from 0, or name; of colors a stain: hematoxylin, eosin or dab.",
        rich_help_panel=_PICTURE,
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(
        help="Axes as stored, one letter each of T C Z Y X, where the file does not say.", rich_help_panel=_PICTURE
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(
        help="Pixel size in micrometers, Y,X or Z,Y,X (or one number for Y and X). [default: as stored]",
        rich_help_panel=_PICTURE,
    ),
]
Series = Annotated[
    str | None,
    typer.Option(help="Which series of a DICOM folder, where there are several: its number.", rich_help_panel=_PICTURE),
]
Level = Annotated[
    int | None,
    typer.Option(
        help="Which resolution of a picture that has several (0 is the finest). [default: the one that fits the model]",
        min=0,
        rich_help_panel=_PICTURE,
    ),
]
Box = Annotated[str | None, typer.Option(help="Only this part, in pixels: 'y0,y1;x0,x1'.", rich_help_panel=_WHERE)]
Polygon = Annotated[
    str | None,
    typer.Option(
        help="Only inside a polygon: 'y,x;y,x;y,x' in pixels, or a GeoJSON file (as QuPath saves it).",
        rich_help_panel=_WHERE,
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(help="Only these frames or slices, from 0: '0;4;7'; of T and Z: '0,2;1,2'.", rich_help_panel=_WHERE),
]
SkipGlass = Annotated[
    bool,
    typer.Option("--skip-glass/--no-skip-glass", help="Of slides, only where there is tissue.", rich_help_panel=_WHERE),
]
Statistics = Annotated[
    str,
    typer.Option(
        help="Brightness of a stack is judged for the whole [picture] or for each [frame].", rich_help_panel=_WHERE
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_HOW)]
MixedPrecision = Annotated[
    bool | None,
    typer.Option(
        "--amp/--no-amp",
        help="Mixed precision (bfloat16). [default: where the model is known to keep its labels]",
        rich_help_panel=_HOW,
    ),
]
Plane = Annotated[
    str,
    typer.Option(
        help="Model of pictures on a volume: slices along YX, ZX or ZY, or all three averaged.", rich_help_panel=_HOW
    ),
]
Link = Annotated[
    bool, typer.Option("--link", help="Objects of neighboring slices that overlap are one.", rich_help_panel=_HOW)
]
Restyle = Annotated[
    str | None,
    typer.Option(
        help="Show pictures to the model in a look it knows: 'model', or a picture to look like.", rich_help_panel=_HOW
    ),
]
Flip = Annotated[
    bool, typer.Option("--flip", help="Average over mirrored pictures: slower, steadier.", rich_help_panel=_HOW)
]
Tile = Annotated[int | None, typer.Option(help="Pixels at once; never changes a label.", min=16, rich_help_panel=_HOW)]
Memory = Annotated[
    int | None, typer.Option(help="Megabytes for results before they go to disk.", min=1, rich_help_panel=_HOW)
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Do what is finished once more, and replace labels that were changed.", rich_help_panel=_HOW
    ),
]
WithTable = Annotated[
    bool, typer.Option("--csv", help="One table of all pictures' objects or areas.", rich_help_panel=_FILES)
]
Measured = Annotated[
    bool, typer.Option("--measure", help="In the table of objects, shape and intensity, too.", rich_help_panel=_FILES)
]
Stains = Annotated[
    str | None,
    typer.Option(help="In the table of objects, the stains of H&E (hed) or DAB (hdx), too.", rich_help_panel=_FILES),
]
Rois = Annotated[bool, typer.Option("--rois", help="Outlines for ImageJ.", rich_help_panel=_FILES)]
GeoJson = Annotated[bool, typer.Option("--geojson", help="Outlines for QuPath.", rich_help_panel=_FILES)]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Probabilities as TIFF (255 is 1).", rich_help_panel=_FILES)
]
Zarr = Annotated[
    bool,
    typer.Option(
        "--zarr", help="Labels as OME-Zarr, chunk by chunk, in the place of TIFF and volumes.", rich_help_panel=_FILES
    ),
]
DicomSeg = Annotated[
    bool,
    typer.Option(
        "--dicom-seg",
        help="Labels of DICOM as DICOM-SEG, which refers to its series and names the patient.",
        rich_help_panel=_FILES,
    ),
]
FullResolution = Annotated[
    bool,
    typer.Option(
        "--full-resolution",
        help="Labels and outlines on the finest level of a picture that has several, by the nearest pixel.",
        rich_help_panel=_FILES,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="On stdout one JSON object a line: each picture, then a summary; nothing else."),
]
