"""Headers of image files, looked at before a native parser sees them."""
