"""What a tissue looks like: contrast, texture, muscles, vessels and fat."""
