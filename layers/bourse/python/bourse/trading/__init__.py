"""Trading: an investor's portfolio is filled gradually, bucket by bucket, so that its structure is never violated."""
