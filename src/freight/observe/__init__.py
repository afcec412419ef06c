"""What can be seen from outside. The data path never imports it."""
