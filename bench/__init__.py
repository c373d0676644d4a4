"""Measures the gateway beside other proxies on this machine: `make bench`. Not part of the package."""
