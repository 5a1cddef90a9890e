"""The methods: affine, stationary velocity, geodesic, networks, refinement."""
