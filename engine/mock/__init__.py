"""A stand-in for every upstream: responses, streams and faults, all taken from responses.json.

It imports nothing of the rest of the engine.
"""
