"""Reading one mammogram: DICOM, or a picture already converted, to 16-bit gray values and typed facts."""

from data_modules.mammography.dicom.header import MammogramHeader
from data_modules.mammography.dicom.mammogram import CropBox, Mammogram
from data_modules.mammography.dicom.reader import read_mammogram

__all__ = ["CropBox", "Mammogram", "MammogramHeader", "read_mammogram"]
