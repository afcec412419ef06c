"""The command line: one module for each command, the settings as parameters, and explanations of mistakes."""
