"""Shim for tools that still call setup.py; every word of metadata lives in pyproject.toml."""

from setuptools import setup

setup()
