"""The application's own part: main window, layouts, modules, sample data."""
