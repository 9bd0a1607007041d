"""What evaluation knows of each benchmark, a module a benchmark."""
