"""Selection rules: which epoch a run's numbers come from."""

RULES = ("last", "val_selected", "test_best")
"""Every run is reported under all three. ``val_selected`` is the first epoch of the best validation accuracy (without
a validation part the last epoch) and the honest one; ``test_best`` looks at the test part and is there to show what
that is worth."""
