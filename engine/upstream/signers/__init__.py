"""Signatures of requests by the signer that a provider names; each optional one in a module of its own."""
