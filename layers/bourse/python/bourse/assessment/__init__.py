"""Assessment: what a loan is expected to pay and how risky it is, by models and tables that are versioned data behind ports."""
