"""The commands that write files of users and tokens."""
