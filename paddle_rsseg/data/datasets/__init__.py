"""Data sets: where the files are, what their pixels mean, whose they are."""

from paddle_rsseg.data.datasets.base import Item, SegmentationDataset
from paddle_rsseg.data.datasets.dubai import DubaiDataset
from paddle_rsseg.data.datasets.ecology import EcologyDataset
from paddle_rsseg.data.datasets.folders import FolderDataset
from paddle_rsseg.data.datasets.hangzhou import HangzhouDataset
from paddle_rsseg.data.datasets.isaid import ISAIDDataset
from paddle_rsseg.data.datasets.landcover9 import LandCover9Dataset
from paddle_rsseg.data.datasets.listed import Dataset
from paddle_rsseg.data.datasets.naic import NAIC1Dataset, NAIC2Dataset

__all__ = [
    "Dataset",
    "DubaiDataset",
    "EcologyDataset",
    "FolderDataset",
    "HangzhouDataset",
    "ISAIDDataset",
    "Item",
    "LandCover9Dataset",
    "NAIC1Dataset",
    "NAIC2Dataset",
    "SegmentationDataset",
]
