"""What runs on the student's side of the wall. It is started as a script and imports nothing of `autograder`."""
