"""Benchmarks: one file for each claim."""
