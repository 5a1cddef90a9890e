"""What a person chooses: volumes, masks, landmarks, options, outputs."""
