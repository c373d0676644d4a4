"""Load side: YAML, JSON Schema and Jinja become a checked Config; never HTTP."""
