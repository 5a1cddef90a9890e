"""PythonQt's Qt, put on PySide6."""
