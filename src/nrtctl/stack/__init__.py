"""Starting, stopping and finding what the commands talk to: local, docker or external."""
