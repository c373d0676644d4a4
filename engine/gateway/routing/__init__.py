"""Endpoint and model to the targets that may serve the request. Pure: no I/O."""
