"""What a person does by hand when no controller is left: the same runbooks, plans and journal, by SSH."""
