"""The queue: which runs are missing, in what order they are trained, and on what device."""
