//! Eats files that say what refs name: a ref's own, packed-refs, info/refs before and after.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_dav_refs(data));
