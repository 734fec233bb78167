"""The endpoints other than chat: tasks, files, batches, embeddings, token counting."""
