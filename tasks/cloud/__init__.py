"""The cloud (Sec. III-B): the reference, the elastic backbone, and which variant a cluster gets."""
