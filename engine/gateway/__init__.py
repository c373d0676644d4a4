"""Request side: HTTP in, HTTP out, driven by a Plan; never YAML, JSON Schema or Jinja source."""
