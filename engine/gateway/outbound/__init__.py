"""What goes to a provider, and which attempts are made. It never reads the caller's socket."""
