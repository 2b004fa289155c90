"""The configuration layer: `model` says what there is, `load` where it comes from."""
