"""How fast is it, beside what limits it? One row of the table a question, measured where `rbrc bench` runs."""
