//! Eats where an upstream leads: the values of Location and Link.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_oci::parse::link::fuzz(data));
