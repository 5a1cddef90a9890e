"""What the extension needs beyond Slicer: packages, and the sample pair."""
