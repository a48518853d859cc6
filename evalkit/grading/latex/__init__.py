"""One parser for the mathematics that models write."""
