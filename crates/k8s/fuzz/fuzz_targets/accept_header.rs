//! Eats `Accept` headers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::parse::accept::fuzz_accept(data));
