"""``freight deploy``: what systemd, Prometheus and Grafana are given, as files in the package."""
