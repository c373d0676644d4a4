"""What the server counts and what it traces, and how that is exposed or exported.

Each process counts in a part of its own of memory that all of them share (`memory`). `families` is the
table of all metrics, `totals` adds the parts up, `exposition` writes the sums as text for Prometheus.
`tracer` notes what becomes of a traced request, `spans` makes spans of it, `otlp` exports them.
It never refuses or changes a request, and never waits for an export.
"""
