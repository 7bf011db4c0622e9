"""What a handler uses: the registry, the running job, the DAO and the governance gate."""
