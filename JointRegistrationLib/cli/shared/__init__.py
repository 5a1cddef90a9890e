"""What the commands share: errors as exit codes, progress, terminal."""
