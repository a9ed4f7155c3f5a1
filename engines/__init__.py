"""Runs exported models. Knows nothing of torch, of the appliance or of how a model was made."""
