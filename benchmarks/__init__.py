"""Benchmarks: each module measures one thing and reports it as a table and as JSON."""
