"""What scoring and reports know of each benchmark, a module a benchmark."""
