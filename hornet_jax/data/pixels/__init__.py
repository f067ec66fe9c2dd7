"""From the bytes of a file to pixels: decoding and resizing, equal to Pillow."""
