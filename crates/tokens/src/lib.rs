//! Byte-pair encoding: train, encode, decode; memory-mapped shards of token ids.
