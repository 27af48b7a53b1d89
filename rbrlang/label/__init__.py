"""The labelling desk: people say of completions what a grader will be judged by."""
