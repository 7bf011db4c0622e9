"""What a handler has in its hands: the registry, the running job, the DAO and the governance gate."""
