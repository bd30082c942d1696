"""Parties: originators, investors, products and personal rates; what business people change without code, every version kept."""
