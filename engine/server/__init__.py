"""The processes of a server: the parent, its workers, reload and drain. Never looks at a request."""
