"""The command line: parses arguments, calls the engine, writes the output, and sets the exit code."""
