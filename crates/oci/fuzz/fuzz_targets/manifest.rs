//! Eats manifests and configs.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_oci::parse::manifest::fuzz(data));
