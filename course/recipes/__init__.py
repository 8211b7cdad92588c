"""How the weights that come with the course were made: a module for each, run with python -m."""
