"""Configurations of other gateways -> files of this one, and a report on every setting. Load side.

A program has a table in YAML: what each of its settings becomes. It never reads files, the environment or the
network: documents in, texts and a report out. No literal secret is in either.
"""
