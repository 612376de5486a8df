"""verl's files as verl writes them: names, fields and layouts, each with the version that has it. No verl is needed."""
