"""The lint engine: rules, the contexts that the rules check, and the conversion of violations to findings."""
