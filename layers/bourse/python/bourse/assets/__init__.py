"""Assets: originators' files become immutable versions of loans. Every record is accepted or rejected with a reason; nothing is lost."""
