"""The routes of the three HTTP APIs: requests in the words of the API, answered by the use cases of the domains."""
