"""Downloads inside applications: the decisions, the sources and the budget of the server, without sockets of ours."""
