"""Signatures of requests by the signer that a provider names; each optional one in a module of its own.

It never sends the request that it signs.
"""
