"""The report page and its thumbnails."""
