"""Located documents checked against `schemas/`, in our own words, and built into a Config."""
