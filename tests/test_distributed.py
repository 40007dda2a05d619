"""Two processes give what one gives: the same losses, weights and files, with whole weights and with split ones."""
