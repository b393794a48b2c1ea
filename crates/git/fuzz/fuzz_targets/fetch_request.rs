//! Eats requests to git-upload-pack: what is understood survives being written and read again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_fetch(data));
