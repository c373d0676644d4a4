"""Tests of the dashboard that use sockets."""
