"""Servers with the Comfy API v2: Comfy Cloud, its deployments, and proxies of one's own."""
