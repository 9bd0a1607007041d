"""The adapter's files: check, write, merge."""
