"""DICOM as volumes."""
