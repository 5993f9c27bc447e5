"""Showing that it is right: gradient checks, golden values, traces."""
