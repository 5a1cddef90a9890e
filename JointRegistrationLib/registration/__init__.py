"""One registration, from two images to the result on their native grids."""
