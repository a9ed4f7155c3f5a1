"""What `goodparts doctor` examines, a module a subject."""
