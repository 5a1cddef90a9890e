"""What the library asks of the operating system: files, locks, memory, child processes."""
