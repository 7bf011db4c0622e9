"""Building permits of a city: applied for, paid, drawn up, and made known to the neighbours."""
