//! Eats bundles, payloads and certificates of signatures, and bills of materials.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_oci::signature::fuzz(data));
