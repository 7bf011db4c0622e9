"""One file for each revision; its number of four digits orders them."""
