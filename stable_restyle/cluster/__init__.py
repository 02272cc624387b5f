"""Draw on a Dask cluster."""
