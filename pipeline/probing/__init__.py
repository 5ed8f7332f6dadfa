"""Looking inside encoders: layer states, probes, attribution, interventions, geometry, exchanged layers."""
