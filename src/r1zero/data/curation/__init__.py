"""Steps that take problems out of a data set, each a pure function that says why. `r1zero/curate.py` chains them."""
