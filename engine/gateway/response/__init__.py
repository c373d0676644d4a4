"""The response on its way to the caller. It makes no attempt of its own."""
