"""What the project claims about its speed, measured beside what others do in the same run."""
