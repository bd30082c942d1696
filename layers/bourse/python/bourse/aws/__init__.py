"""What belongs to no domain: how functions hear and say on AWS, how they reach its stores, and what they report."""
