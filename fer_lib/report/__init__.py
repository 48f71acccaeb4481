"""Executing the notebooks and rendering what came out."""
