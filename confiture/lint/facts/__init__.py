"""Facts about statements and schemas that rules use."""
