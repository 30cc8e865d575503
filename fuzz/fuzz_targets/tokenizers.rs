//! Files of tokenizers: tokenizer.json, tekken.json, SentencePiece models, vocabularies with merges.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stoa_fuzz::tokenizers(data));
