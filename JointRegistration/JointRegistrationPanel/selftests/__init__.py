"""Tests inside the application, and a worker that registers nothing."""
