"""From publishers' files to `FaceDataset`, the one type that data comes in."""

from fer_lib.data.catalog import data_root, load_dataset, register_dataset
from fer_lib.data.dataset import CKPLUS_CLASSES, FACE_SIDE, FER2013_CLASSES, FaceDataset
from fer_lib.data.folds import PROTOCOLS, Parts, check_classes, is_drawn, picture_digests, run_parts, split_indices
from fer_lib.data.synthetic import synthetic, synthetic_films

__all__ = [
    "CKPLUS_CLASSES",
    "FACE_SIDE",
    "FER2013_CLASSES",
    "PROTOCOLS",
    "FaceDataset",
    "Parts",
    "check_classes",
    "data_root",
    "is_drawn",
    "load_dataset",
    "picture_digests",
    "register_dataset",
    "run_parts",
    "split_indices",
    "synthetic",
    "synthetic_films",
]
