"""``freight deploy``: files for systemd, Prometheus and Grafana, which are in the package."""
