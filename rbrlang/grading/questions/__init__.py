"""What is a grader asked, and in which form is it answered?"""
