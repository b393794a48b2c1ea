//! Eats SPDY frames of either side.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockgate_k8s::parse::spdy::fuzz_spdy(data));
