"""Turning downloaded archives into the trees that training reads."""
