"""Texts of a folder into located documents: YAML with the line and column of every key. It judges no meaning."""
