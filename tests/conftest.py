"""Fixtures for all tests."""

from device import cupy

__all__ = ["cupy"]
