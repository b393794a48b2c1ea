//! Eats the file of an object, which is read in pieces, and as a whole.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_loose(data));
