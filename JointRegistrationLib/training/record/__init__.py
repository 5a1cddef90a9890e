"""What a training leaves behind: provenance, figures, examples, the parts that are published."""
