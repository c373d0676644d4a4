"""What commands print, as text or data: findings, routes, differences, results of tests, prices.

One renderer a file, each a pure function of its input. It prints nothing and reads no file of an operator.
"""
