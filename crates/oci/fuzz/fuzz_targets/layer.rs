//! Eats layers: tars, compressed or not.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_oci::scan::fuzz(data));
