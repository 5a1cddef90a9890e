"""What the library asks of the operating system: locks, memory, child processes."""
