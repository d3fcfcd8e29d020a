"""Reviews of a plan before it runs: graded risks, saved plans, and questions to the operator."""
