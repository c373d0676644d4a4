"""The default client: HTTP/1.1 on asyncio, which knows whether a request was sent.

It follows no redirect and decodes no content encoding.
"""
