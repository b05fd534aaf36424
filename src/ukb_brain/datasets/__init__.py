"""Kedro datasets: UK Biobank's files, stores, tables written whole, figures and models."""

from ukb_brain.datasets.folders import ModelFolderDataset, OwnedFolderDataset, RecordStoreDataset
from ukb_brain.datasets.images import FigureDataset, NiftiDataset, NiftiFolderDataset
from ukb_brain.datasets.parquet import (
    AtomicCSV,
    AtomicParquet,
    AtomicText,
    GivenCSV,
    OptionalCSV,
    OptionalParquet,
)
from ukb_brain.datasets.raw_files import (
    BulkFolderDataset,
    RelatednessDataset,
    UKBTableDataset,
    WithdrawalsDataset,
)
from ukb_brain.datasets.splits import SplitsDataset

__all__ = [
    "AtomicCSV",
    "AtomicParquet",
    "AtomicText",
    "BulkFolderDataset",
    "FigureDataset",
    "GivenCSV",
    "ModelFolderDataset",
    "NiftiDataset",
    "NiftiFolderDataset",
    "OptionalCSV",
    "OptionalParquet",
    "OwnedFolderDataset",
    "RecordStoreDataset",
    "RelatednessDataset",
    "SplitsDataset",
    "UKBTableDataset",
    "WithdrawalsDataset",
]
