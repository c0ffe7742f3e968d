"""The op `lstm`: long short-term memory."""
