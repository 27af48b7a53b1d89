"""Does anything but a documented error come out of damaged input, and does it come out soon?

Each target of `targets` takes bytes that a stranger might send: the text of a policy, a file of rows, an artefact, the
body of a request, the reply of a grader. It raises nothing but what its documentation names, and takes no more than
`SLOW` seconds of processor time. Inputs are seeds (files in `seeds`, and those that a target makes) changed at random by
`mutate`; each follows from its number alone.

    cd tests && python -m fuzz rows --inputs 100000 --seed 1 --workers 2 --keep found

Inputs that failed are printed with their numbers and kept in the folder given. What was found and mended stays among
the seeds. Where Atheris is installed, `--atheris` lets it drive a target by coverage instead.
"""
