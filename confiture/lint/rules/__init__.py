"""The rules, one a file; a file's name is its rule's."""
