"""Kedro datasets: UK Biobank's files, stores, tables written whole, figures and models."""

from ukb_brain.datasets.figure import FigureDataset
from ukb_brain.datasets.folders import BulkFolderDataset, ModelFolderDataset, OwnedFolderDataset
from ukb_brain.datasets.nifti import NiftiDataset
from ukb_brain.datasets.parquet import (
    AtomicCSV,
    AtomicParquet,
    AtomicText,
    GivenCSV,
    OptionalCSV,
    OptionalParquet,
)
from ukb_brain.datasets.participants_lists import RelatednessDataset, WithdrawalsDataset
from ukb_brain.datasets.record_store import RecordStoreDataset
from ukb_brain.datasets.splits import SplitsDataset
from ukb_brain.datasets.ukb_table import UKBTableDataset

__all__ = [
    "AtomicCSV",
    "AtomicParquet",
    "AtomicText",
    "BulkFolderDataset",
    "FigureDataset",
    "GivenCSV",
    "ModelFolderDataset",
    "NiftiDataset",
    "OptionalCSV",
    "OptionalParquet",
    "OwnedFolderDataset",
    "RecordStoreDataset",
    "RelatednessDataset",
    "SplitsDataset",
    "UKBTableDataset",
    "WithdrawalsDataset",
]
