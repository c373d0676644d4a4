"""What the gateway's hooks do with accounts, limits, metrics and traces, in one worker.

It joins packages that do not know each other, and is made by `worker` at the start of a worker. It
never serves a request itself, and none of it is loaded for what is not configured.
"""
