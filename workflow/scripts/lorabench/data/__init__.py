"""Data stage: models, benchmarks and conversations from hub, path, wheel or built-in sources."""
