"""Real clients, unmodified, against the gateway in front of the built-in upstream or a played answer."""
