"""The panel's section Inspect."""
