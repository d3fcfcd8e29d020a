"""The command line: parse arguments, call the engine, choose the output format, exit."""
