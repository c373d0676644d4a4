"""The admin listener: sign-in, the account API and the dashboard.

A process and a port of its own. It reads and writes the store of accounts and never serves a
request for a model; nothing on the request side imports it.
"""
