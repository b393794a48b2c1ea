//! Eats packs, as they come from the network.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_pack(data));
