"""Ways to run the joint SOC."""
