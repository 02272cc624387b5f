"""How fast the program is: each module measures one thing, tells it as a table, keeps it as JSON."""
