//! Eats advertisements and listings of refs: with nothing hidden they say the same when read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_refs(data));
