"""Values on one lattice read on another, in NumPy alone."""
