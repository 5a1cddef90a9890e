"""Joint affine and non-parametric registration of knee MRI (AVSM). Imports no PyTorch by itself."""

__version__ = "0.1.0"
