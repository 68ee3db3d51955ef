"""The files that `localist price` and `localist localise` write into a folder."""

PRICES = "prices.nc"
GATES, TABLE, PATH = "gates.json", "gates.safetensors", "path.nc"  # what each gate is, the gates, what was tried
