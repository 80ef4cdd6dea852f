"""The analysts' web application."""
