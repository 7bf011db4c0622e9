"""The screens: each says what it wants looked at, and puts what was seen into its widgets."""
