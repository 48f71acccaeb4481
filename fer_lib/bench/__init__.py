"""How fast the library is beside the loop that people publish, on whatever device is there."""
