"""DICOM files as a scanner would write them, made with pydicom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from napari_unetstyle.core.imaging.geometry import Geometry

PATIENT = {
    "PatientName": "Canary^Nominata",
    "PatientID": "CANARY-4711",
    "PatientBirthDate": "19331103",
    "PatientSex": "F",
    "PatientAddress": "Canary Lane 7",
    "AccessionNumber": "CANARYACC9",
    "StudyDescription": "canary study of knee",
    "SeriesDescription": "canary series t1",
    "InstitutionName": "Canary Hospital",
    "ReferringPhysicianName": "Canary^Doctor",
    "OperatorsName": "Canary^Operator",
    "ProtocolName": "canary protocol",
    "StationName": "CANARYSTATION",
    "PatientComments": "canary comment",
    "ImageComments": "canary image",
    "StudyID": "CANARY1",
    "RequestedProcedureDescription": "canary request",
}


def decimals(values: Any) -> list[DSfloat]:
    return [DSfloat(float(value), auto_format=True) for value in np.ravel(values)]


def header(modality: str = "CT", sop_class: UID = CTImageStorage, **values: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.SeriesNumber = modality, 3
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.9"
    ds.StudyDate, ds.StudyTime, ds.PositionReferenceIndicator = "20200101", "101010", ""
    for keyword, value in {**PATIENT, **values}.items():
        setattr(ds, keyword, value)
    return ds


def set_pixels(ds: Dataset, pixels: NDArray[Any], *, frames: int | None = None, **values: Any) -> None:
    bits = pixels.dtype.itemsize * 8
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    if frames is not None:
        ds.NumberOfFrames = frames
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    data = pixels.tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)


def place_of_slice(geometry: Geometry, index: int) -> NDArray[np.float64]:
    """Center of the first pixel of a slice, XYZ."""
    return geometry.to_world((index, 0, 0))[::-1]


def cosines(geometry: Geometry) -> NDArray[np.float64]:
    direction = np.array(geometry.direction)
    return np.concatenate([direction[::-1, 2], direction[::-1, 1]])


def slices(
    volume: NDArray[Any],
    geometry: Geometry,
    change: Callable[[FileDataset, int], None] = lambda ds, i: None,
    **values: Any,
) -> list[FileDataset]:
    """One file for each slice of a volume ``ZYX``; `change` may alter the i-th before it is written."""
    made = []
    for i, pixels in enumerate(volume):
        ds = header(**{"RescaleSlope": 1, "RescaleIntercept": 0} | values)
        ds.InstanceNumber = i + 1
        ds.ImagePositionPatient = decimals(place_of_slice(geometry, i))
        ds.ImageOrientationPatient = decimals(cosines(geometry))
        ds.PixelSpacing = decimals(geometry.spacing[1:])
        ds.SliceThickness = decimals(geometry.spacing[0])[0]
        set_pixels(ds, pixels)
        change(ds, i)
        made.append(ds)
    return made


def unscaled(ds: FileDataset, i: int = 0) -> None:
    """A change that takes away how values are scaled."""
    del ds.RescaleSlope, ds.RescaleIntercept


def write(folder: Path, files: Sequence[FileDataset], *, seed: int = 0) -> Path:
    """Write files under names that say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(seed).permutation(10 * len(files))
    for name, ds in zip(names, files, strict=False):
        ds.save_as(folder / f"IM{name:05d}.dcm", enforce_file_format=True)
    return folder


def write_volume(folder: Path, volume: NDArray[Any], geometry: Geometry, **options: Any) -> Path:
    return write(folder, slices(volume, geometry, **options))


def enhanced(
    volume: NDArray[Any], geometry: Geometry, order: Sequence[int] | None = None, **values: Any
) -> FileDataset:
    """One multi-frame file with the slices in any order."""
    order = range(len(volume)) if order is None else order
    ds = header(sop_class=UID("1.2.840.10008.5.1.4.1.1.2.1"), **values)
    set_pixels(ds, volume[list(order)], frames=len(volume))
    shared = Dataset()
    measures, orientation, transformation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = decimals(geometry.spacing[1:])
    measures.SliceThickness = decimals(geometry.spacing[0])[0]
    orientation.ImageOrientationPatient = decimals(cosines(geometry))
    transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = 2, -1000, "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [transformation]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for i in order:
        group, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = decimals(place_of_slice(geometry, i))
        content.DimensionIndexValues = [1, i + 1]
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    return ds
