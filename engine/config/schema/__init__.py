"""Documents with positions, validated against `schemas/` with our own messages, and built into a Config.

It reads no environment variable.
"""
