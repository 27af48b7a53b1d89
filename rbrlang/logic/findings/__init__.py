"""What is wrong with a policy, proved: partition, claims, needless parts, what tests miss."""
