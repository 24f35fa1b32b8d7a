"""Whether the door lives: progress, the service manager's watchdog, status, metrics, heat."""
