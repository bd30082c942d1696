"""Matching: one writer per book, deterministic and replayable from its journal; as many investments as possible, each bid said once."""
