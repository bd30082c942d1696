"""Bourse: a marketplace where originators sell loans and investors buy shares of them. Read flow.py next."""
