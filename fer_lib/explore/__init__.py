"""What a reader can turn in the notebooks: runs, pictures, data, attention and power."""

from fer_lib.extras import need

need("notebooks", "ipywidgets", "anywidget", "pandas", "scipy", "seaborn")
