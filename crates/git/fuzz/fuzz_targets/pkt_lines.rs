//! Eats pkt-lines in pieces: whole or cut anywhere they say the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_pkt(data));
