"""The proof that several gateways are one: `make scale`, which writes docs/scaling.json."""
