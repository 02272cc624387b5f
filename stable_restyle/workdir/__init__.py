"""The files of a working folder: where they are, what they say, who may write them."""
