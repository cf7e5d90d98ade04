"""What is seen in videos, and all that is known of one."""
