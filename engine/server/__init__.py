"""The processes of a server: the parent, its workers, reload and drain. It does not handle requests."""
