//! Eats answers in JSON: objects, lists, watches, Tables.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::mask::fuzz_mask(data));
