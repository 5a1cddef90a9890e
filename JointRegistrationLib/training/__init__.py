"""Training of the networks: data pools, losses, the resumable loop, and their configuration."""
