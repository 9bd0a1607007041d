"""Checkpoints: check, convert, make."""
