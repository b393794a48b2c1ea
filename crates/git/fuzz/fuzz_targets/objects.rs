//! Eats objects and deltas, of which a pack is made: what is behind zlib is reached.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_objects(data));
