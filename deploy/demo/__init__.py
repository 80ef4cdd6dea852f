"""Six invented institutions, their everyday traffic, and attacks that unfold: what `jsoc demo` plays."""
