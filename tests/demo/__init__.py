"""Tests of the demo's stories and of its credentials by the thousand."""
