"""What a caller sends: its head, who it is, its body within bounds. It never opens a connection."""
