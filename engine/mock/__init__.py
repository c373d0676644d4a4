"""A stand-in for every upstream: answers, streams and faults, all taken from answers.json."""
