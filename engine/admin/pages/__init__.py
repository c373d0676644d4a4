"""The pages of the dashboard: each reads the store and the configuration, and fills a template.

A page never shows a secret, but for a new gateway key, once.
"""
