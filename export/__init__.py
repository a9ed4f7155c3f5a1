"""From trained networks to engines: the only home of torch. Run offline, never on a box."""
