"""Speed of this suite beside what its users would pick instead, on one machine and in one run:
`make bench`.
"""
