"""Evaluation stage: run benchmark tasks and generate answers."""
