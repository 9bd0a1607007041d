"""Report stage: score, compare, draw and write."""
