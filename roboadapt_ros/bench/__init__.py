"""Benchmarks: figures with fixed names, measured on the running graph and written as JSON."""
