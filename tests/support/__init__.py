"""What the tests share: loops, sockets, recording protocols, child processes."""
