"""A generative model of people, brains and UK Biobank's files, with known truth."""
