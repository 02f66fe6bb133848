"""What others can ask a pool: control socket, health port, systemd."""
