"""What the server counts, and how it is exposed; it knows no HTTP and nothing of a request.

Each process counts in a part of its own of memory that all of them share (`memory`). `families` is the
table of all metrics, `totals` adds the parts up, `exposition` writes the sums as text for Prometheus.
"""
