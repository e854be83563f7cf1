"""A device (Sec. III-D): plain functions over its own files, without Prefect, pandas or MLflow."""
