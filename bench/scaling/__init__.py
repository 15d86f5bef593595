"""A simulation of autoscaling, with the dispatch policy and the scaling rule of the service."""
