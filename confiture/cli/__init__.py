"""The command line: parses arguments, calls the engine, chooses the renderer, exits."""
