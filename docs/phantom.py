"""A drawn CT and MR of an abdomen, and runs that find what was drawn: for pictures of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter, zoom

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import Card, ClassSpec, InputSpec, ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.networks.spec import NetworkSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Steps
from napari_unetstyle.core.segmentation.deciding import iter_decide
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.result import SegmentResult
from napari_unetstyle.widgets.core_calls import CoreCalls

SHAPE, SPACING = (48, 128, 160), (3.0, 1.8, 1.8)
AIR, FAT, MUSCLE, LIVER, KIDNEY, BONE = -1000, -90, 50, 120, 190, 700  # Hounsfield units, with contrast
NAME = "drawn-organs"
CLASSES = (
    ClassSpec(value=1, name="liver", color="#f5a623"),
    ClassSpec(value=2, name="kidneys", color="#3fb6ff"),
)


def abdomen(seed: int = 1) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A volume ``ZYX`` in Hounsfield units, and where its liver (1) and its kidneys (2) are.

    As on a light box: the patient's right is on the left, the back is below.
    """
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    coarse = rng.standard_normal((3, 4, 5, 5))
    bend = 0.03 * zoom(coarse, (1, *(n / k for n, k in zip(SHAPE, coarse.shape[1:], strict=True))), order=3)
    z, y, x = z + bend[0], y + bend[1], x + bend[2]

    def blob(center: tuple[float, float, float], radii: tuple[float, float, float]) -> Any:
        return sum(((v - c) / r) ** 2 for v, c, r in zip((z, y, x), center, radii, strict=True)) < 1

    liver = blob((0.25, -0.15, -0.35), (0.75, 0.5, 0.42)) | blob((0.35, -0.35, -0.05), (0.45, 0.25, 0.4))
    kidneys = blob((-0.15, 0.35, -0.42), (0.5, 0.17, 0.13)) | blob((-0.1, 0.35, 0.42), (0.5, 0.17, 0.13))
    parts = (
        (blob((0, 0, 0), (9, 0.88, 0.9)), FAT),
        (blob((0, -0.03, 0), (9, 0.78, 0.8)), MUSCLE),
        (liver, LIVER),
        (kidneys, KIDNEY),
        (blob((0, 0.42, 0), (9, 0.16, 0.13)), BONE),
    )
    values = np.full(SHAPE, float(AIR))
    for part, value in parts:
        values[part] = value
    noisy = gaussian_filter(values, 0.6) + gaussian_filter(rng.normal(0, 60, SHAPE), 0.7)
    return np.round(noisy).astype(np.int16), np.where(kidneys, 2, np.where(liver, 1, 0)).astype(np.uint8)


def resonance(seed: int = 1, other: bool = False) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """The same volume as T1-weighted MR, and its labels; `other`: as a scanner with another gain and coil has it."""
    values, labels = abdomen(seed)
    tissues, signals = (AIR, FAT, MUSCLE, LIVER, KIDNEY, BONE), (15, 850, 330, 430, 260, 200)
    signal = gaussian_filter(np.interp(values, tissues, signals), 0.5)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    coil = 1 + 0.35 * (x if other else y) - 0.1 * z
    noisy = signal * coil + np.random.default_rng(seed).normal(0, 12, SHAPE)
    shown = 3000 * (noisy.clip(0) / 900) ** 0.7 if other else noisy.clip(0)
    return shown.round().astype(np.uint16), labels


def place() -> Geometry:
    """Where the volume lies: slices from the feet up."""
    return Geometry(spacing=SPACING, unit="mm", origin=(0.0, -115.0, -144.0), is_anatomical=True)


def calls(root: Path) -> CoreCalls:
    """The core's functions, with a model in the store at `root` whose runs give back what was drawn."""
    spec = ModelSpec(
        name=NAME,
        network=NetworkSpec(spatial_dims=3, in_channels=1, widths=(4, 6)),
        input=InputSpec(channels="gray"),
        classes=CLASSES,
        card=Card(
            purpose="liver and kidneys of a drawn abdomen",
            summary="Finds what was drawn.",
            training_data="none",
            license="CC0-1.0",
        ),
    )
    ModelStore(root).save(spec, UNet(spec.network, spec.out_channels))
    return CoreCalls(iter_segment=_iter_drawn, store=lambda _: ModelStore(root))


def _iter_drawn(image: Image, _model: str, options: SegmentOptions, _store: ModelStore) -> Steps[SegmentResult]:
    labels = abdomen()[1]
    soft = np.stack([gaussian_filter(255.0 * (labels == value), 0.8) for value in range(3)]).astype(np.uint8)
    options = options.changed(threshold=0.5, output="areas")
    result = SegmentResult(
        labels=np.zeros(0, np.uint8),
        label_axes="ZYX",
        geometry=image.geometry,
        classes=CLASSES,
        output="areas",
        objects={},
        probability_bytes=soft,
        seed_rise=0.75,
        zoom=1.0,
        frames=((),),
        options=options,
        provenance={"model": {"name": NAME, "version": 1}, "device": "cpu", "seconds": 4.2},
    )
    return (yield from iter_decide(result))


def write_series(folder: Path, number: int, description: str) -> None:
    """Write the volume as the files of a DICOM series; nobody is its patient."""
    folder.mkdir(parents=True)
    uid, (values, _) = generate_uid(), abdomen(number)
    for i, pixels in enumerate(values):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
        file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = "1.2.3", uid, "1.2.3.9"
        file.Modality, file.SeriesNumber, file.InstanceNumber = "CT", number, i + 1
        file.SeriesDescription = description
        z, y, x = place().to_world((i, 0, 0)).tolist()
        file.ImagePositionPatient, file.ImageOrientationPatient = [x, y, z], [1, 0, 0, 0, 1, 0]
        file.PixelSpacing, file.SliceThickness = list(SPACING[1:]), SPACING[0]
        file.Rows, file.Columns = pixels.shape
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 1
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
        file.RescaleIntercept, file.RescaleSlope = "0", "1"
        file.PixelData = pixels.tobytes()
        file.save_as(folder / f"{i:03d}.dcm", enforce_file_format=True)
