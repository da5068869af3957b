"""How each row of the table of failures is provoked, a module for each kind of engine."""
