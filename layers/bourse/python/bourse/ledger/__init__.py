"""Ledger: money and claims move together or not at all, every flavor sums to zero, and a posting happens once for ever."""
