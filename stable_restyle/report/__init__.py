"""Write the report page and its thumbnails."""
