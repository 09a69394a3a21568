"""Building blocks shared by every reproduction. Nothing in here knows a paper."""
