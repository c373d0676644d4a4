"""The account API: JSON for programs, with a gateway key as Bearer, and its OpenAPI document.

One table of operations makes the routes, the validation of bodies and the document. It never
returns a provider key, and a gateway key only when that is made.
"""
