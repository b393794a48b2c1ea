//! Eats what a registry asks for: the value of WWW-Authenticate.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_oci::parse::challenge::fuzz(data));
