"""The knowledge base: the timeline's milestones, their lineage, and the runs that check their claims."""
