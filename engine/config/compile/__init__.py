"""A checked Config into a Plan, with what the environment gives it."""
