"""Networks in torch; the only package besides training that imports it."""
