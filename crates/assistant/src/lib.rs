//! The answering engine: sampling, KV cache, constraints, chat templates.
