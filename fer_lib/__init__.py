"""Facial-expression recognition with attention modules: a reproducibility study of four papers."""
