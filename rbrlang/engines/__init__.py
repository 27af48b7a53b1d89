"""Rows in blocks through a job: in this process, in several, or on several machines."""
