"""The worker as a node of Celery: its steps, its consumer, remote control and events."""
