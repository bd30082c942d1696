"""The product doing its main job on real loans: `make demo`."""
