"""The demo, and reports made outside the application."""
