"""What server and client of the churn agree on: the kinds of connection, named by their first byte."""

# Sends everything, closes its half, gets every byte back and then the end.
SURVIVOR = b"S"
# Resets the connection at a random moment.
VICTIM = b"V"
# The server's data_received raises at a random moment, which ends the connection.
FAILING = b"F"
