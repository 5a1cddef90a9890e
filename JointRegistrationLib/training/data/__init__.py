"""Training data: label maps, rendered and prepared scans, pools, alignment."""
