"""Diagnostics as text or JSON; one renderer a file, each a pure function of its input.

It prints nothing and reads no file.
"""
