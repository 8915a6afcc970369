"""The miniature: a drawn world, a simulated NSD, and tiny frozen networks."""
