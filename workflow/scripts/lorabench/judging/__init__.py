"""Judging stage: have a judge rate answers and compare them in pairs."""
