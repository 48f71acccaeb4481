"""Faces in the wild: detectors, the camera of the notebook, and `fer predict`."""
