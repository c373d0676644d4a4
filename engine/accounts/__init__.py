"""The store of what people create at run time: accounts, gateway keys, provider keys, people, usage.

A database (SQLite or PostgreSQL) holds it; provider keys are encrypted by the vault. Functions take
an open connection first, and one that takes an `account_id` reads and changes only rows of that account.
It knows no HTTP and no configuration, and needs the extra `accounts`.
"""
