"""Steps that take problems out of a data set, each a pure function that says why. `curate/chain.py` chains them."""
