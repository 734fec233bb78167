"""Endpoints beside chat: tasks, files, batches, embeddings, token counting."""
