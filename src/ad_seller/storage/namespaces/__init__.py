"""One store for several publishers: a backend that shows the entries of one of them."""
