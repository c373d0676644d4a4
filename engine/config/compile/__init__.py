"""A checked Config compiled to a Plan, with the values of its environment. It never parses YAML."""
