"""The grader that needs nothing: evidence from text, cues, few-shots and trained heads."""
