"""The lint engine: rules, the contexts that they check, and the conversion of violations to findings."""
