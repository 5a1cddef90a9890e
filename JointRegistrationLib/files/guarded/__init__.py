"""Files read in a child process, with bounds on its memory and time."""
