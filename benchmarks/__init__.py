"""How fast the program is: each module measures one thing, as a table and as JSON."""
