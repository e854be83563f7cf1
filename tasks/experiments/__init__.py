"""The paper's experiments: cells of work that Prefect caches, and what their rows say."""
