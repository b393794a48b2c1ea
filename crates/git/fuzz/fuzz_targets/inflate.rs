//! Eats a zlib stream, which is inflated in pieces, and by zlib.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_git::fuzz_inflate(data));
