"""Facial-expression recognition with attention modules: a reproducibility study of four papers."""

import os

__version__ = "0.1.0"

# Threads that spin while they wait slow every step many times over as soon as another program wants a core.
# OpenMP reads this once, when torch is loaded, which the library's own modules do after this line.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
