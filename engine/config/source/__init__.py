"""Texts of a folder into located documents: YAML with the line and column of every key. It does not check their meaning."""
