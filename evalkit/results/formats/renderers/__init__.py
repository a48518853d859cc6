"""One module per output format of a table, named as `-f` names it: each has `render(table) -> str`."""
