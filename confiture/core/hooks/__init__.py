"""Python hooks: what users write, the connection they get, and running them."""
