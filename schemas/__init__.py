"""What travels between processes: event, hit, alert, member registry, health."""
