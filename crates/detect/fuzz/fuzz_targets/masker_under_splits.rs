//! Eats a stream and places to cut it: the output must not depend on them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_detect::fuzz::masker_under_splits(data));
