//! Eats methods and addresses: what goes upstream is understood as the same again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::parse::info::fuzz_address(data));
