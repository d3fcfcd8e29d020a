"""`confiture diff` and `confiture pull`: schema files compared with databases, and written from them."""
