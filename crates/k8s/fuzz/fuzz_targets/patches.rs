//! Eats patches of every kind, and the objects that they are for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::parse::patch::fuzz_patch(data));
