"""The JSON codecs: by the standard library, and by msgspec with the same results."""
