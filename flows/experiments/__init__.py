"""The paper's experiments, a flow each: what is computed, in which order. Every piece of work is a
cached task, so experiments share backbones, features and headers, and a killed run goes on."""
