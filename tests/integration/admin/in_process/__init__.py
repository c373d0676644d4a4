"""The admin listener with its store, called in process: pages, the account API, and what an attacker tries."""
