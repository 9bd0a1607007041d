"""Items of the benchmarks."""
