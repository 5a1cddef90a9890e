"""Linear operations that go one axis at a time."""
