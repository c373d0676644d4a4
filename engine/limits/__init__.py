"""What callers may use, counted exactly over all workers of one machine, or over machines. Knows no HTTP and no YAML.

A request reserves the most that it may plausibly use, in all its scopes (key, account, model) at
once, and settles what it has used when it is over:

    Store.reserve(scopes, estimate) -> Grant | Refused      Store.settle(grant, used)

    store     the interface: estimates and what was used are Amounts, one for each thing that is counted
    core      the arithmetic of one scope: pure functions of its counters
    windows   calendar days, weeks and months in a time zone
    table     counters and reservations in memory that the workers share, behind a lock
    ledger    both of them together
    mutex     that lock, which ends with the process that has it
    memory_file    that memory in a file, for counters that outlive the server
    specs, limits.lua    the same arithmetic in a script that Redis or Valkey runs
    resp, store_client, redis_store    the connection to that, kept or cut off, and what is done while it fails

Requests count when they are admitted, tokens when they are known; until then they are held. What a
killed worker held is given back, and what its requests used is not counted.
"""
