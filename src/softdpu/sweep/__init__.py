"""Sweeps: variants of one configuration, built together, compared in a table and a picture."""
