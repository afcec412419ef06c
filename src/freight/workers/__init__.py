"""One server of several processes: workers, their supervisor, and the process of the admin listener."""
