"""What happens at a training step: find the planning tokens, shape the advantages, measure."""
