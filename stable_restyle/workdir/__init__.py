"""Name, read, write and lock the files of a working folder."""
