"""Executing the notebooks and rendering what came out."""

from fer_lib.extras import need

need("study", "papermill", "nbconvert", "jinja2", "itables", "pandas", "scipy", "seaborn")
